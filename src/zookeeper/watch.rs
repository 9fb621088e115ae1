//! watch (contract pending).

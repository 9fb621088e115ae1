//! recovery (contract pending).

//! cli (contract pending).

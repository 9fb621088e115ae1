//! mod (contract pending).

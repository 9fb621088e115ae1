//! server (contract pending).

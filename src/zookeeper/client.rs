//! client (contract pending).

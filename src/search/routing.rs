//! routing (contract pending).

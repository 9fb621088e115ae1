//! recipes (contract pending).

//! tree (contract pending).

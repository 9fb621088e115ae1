//! format (contract pending).

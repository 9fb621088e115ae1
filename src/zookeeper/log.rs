//! log (contract pending).

//! session (contract pending).

//! election (contract pending).

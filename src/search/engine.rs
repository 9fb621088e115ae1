//! engine (contract pending).

//! controller (contract pending).

//! request (contract pending).

//! zab (contract pending).

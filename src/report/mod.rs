//! report (contract pending).

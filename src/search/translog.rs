//! translog (contract pending).

//! workload (contract pending).

//! replication (contract pending).

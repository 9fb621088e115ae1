//! discovery (contract pending).

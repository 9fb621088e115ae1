//! node (contract pending).

//! shard (contract pending).

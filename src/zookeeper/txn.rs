//! txn (contract pending).

//! Reads — decides what a server answers from its own state. It never leaves a watch.

use super::{Database, Znode};
use crate::zookeeper::wire::{Op, Reply, ZkError};

impl Database {
    /// Answers a read; none if the operation is no read of the tree.
    pub fn read(&self, op: &Op) -> Option<Result<Reply, ZkError>> {
        match op {
            Op::Exists { path, .. } => Some(self.exists(path)),
            Op::GetData { path, .. } => Some(self.get_data(path)),
            Op::GetChildren { path, .. } => Some(self.get_children(path)),
            _ => None,
        }
    }

    /// The Stat of a node.
    ///
    /// # Errors
    ///
    /// BadArguments if the path has a NUL, then NoNode. No other check: any malformed path is just not
    /// there.
    pub fn exists(&self, path: &str) -> Result<Reply, ZkError> {
        if path.contains('\0') {
            return Err(ZkError::BadArguments);
        }
        self.found(path).map(|node| Reply::Stat(node.stat()))
    }

    /// Data and Stat of a node.
    ///
    /// # Errors
    ///
    /// NoNode.
    pub fn get_data(&self, path: &str) -> Result<Reply, ZkError> {
        self.found(path).map(|node| Reply::Data { data: node.data.clone(), stat: node.stat() })
    }

    /// Names of a node's children, sorted, and its Stat.
    ///
    /// # Errors
    ///
    /// NoNode.
    pub fn get_children(&self, path: &str) -> Result<Reply, ZkError> {
        let names = |node: &Znode| node.children.iter().cloned().collect();
        self.found(path).map(|node| Reply::Children { names: names(node), stat: node.stat() })
    }

    fn found(&self, path: &str) -> Result<&Znode, ZkError> {
        self.node(path).ok_or(ZkError::NoNode)
    }
}

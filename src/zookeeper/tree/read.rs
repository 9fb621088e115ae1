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

#[cfg(test)]
mod tests {
    use super::*;

    /// The recording `read_errors` of a 3.8.0 server: a malformed path is just not there.
    #[test]
    fn malformed_path_is_no_node_but_nul_is_bad_arguments_for_exists() {
        let db = Database::default();
        for path in ["/nope", "/zookeeper/", "zookeeper", "//zookeeper", "/./zookeeper"] {
            let all = [db.exists(path), db.get_data(path), db.get_children(path)];
            assert_eq!(all, [Err(ZkError::NoNode), Err(ZkError::NoNode), Err(ZkError::NoNode)], "{path}");
        }
        assert_eq!(db.exists("/\0"), Err(ZkError::BadArguments));
        assert_eq!(db.get_data("/\0"), Err(ZkError::NoNode));
    }

    #[test]
    fn empty_path_is_the_root() {
        let db = Database::default();
        assert_eq!(db.get_children(""), db.get_children("/"));
        assert!(db.exists("").is_ok());
    }

    #[test]
    fn each_read_answers_in_its_own_shape() {
        let db = Database::default();
        let stat = db.node("/zookeeper").unwrap().stat();
        let path = || "/zookeeper".to_owned();
        let names = vec!["config".to_owned(), "quota".to_owned()];
        let data = Some([].into());
        for (op, reply) in [
            (Op::Exists { path: path(), watch: false }, Reply::Stat(stat)),
            (Op::GetData { path: path(), watch: true }, Reply::Data { data, stat }),
            (Op::GetChildren { path: path(), watch: false }, Reply::Children { names, stat }),
        ] {
            assert_eq!(db.read(&op), Some(Ok(reply)));
        }
        assert_eq!(db.read(&Op::Ping), None);
    }
}

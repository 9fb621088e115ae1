//! Reads — decides what a server answers from its own state, and to whom. It never leaves a watch.

use std::sync::Arc;

use super::{Database, Znode, path};
use crate::{
    name::SessionId,
    zookeeper::{
        access,
        wire::{Compat, Id, Op, Reply, ZkError, perms},
    },
};

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The session.
    pub session: SessionId,
    /// The identities of its connection.
    pub ids: &'a [Id],
    /// Whose behaviour: from 3.9 on, exists needs READ.
    pub compat: Compat,
}

impl Reader<'_> {
    fn may(&self, node: &Znode, wanted: i32) -> Result<(), ZkError> {
        access::permit(&node.acl, wanted, self.ids)
    }
}

type Answer = Result<Reply, ZkError>;

impl Database {
    /// Answers a read; none if the operation is no read of the tree (`FinalRequestProcessor.java`).
    pub fn read(&self, op: &Op, reader: &Reader<'_>) -> Option<Answer> {
        match op {
            Op::Exists { path, .. } => Some(self.exists(path, reader)),
            Op::GetAcl { path } => Some(self.get_acl(path, reader)),
            Op::GetAllChildrenNumber { path } => Some(self.count_descendants(path, reader)),
            Op::GetEphemerals { prefix } => Some(Ok(self.ephemerals_with(prefix, reader.session))),
            Op::MultiRead(ops) => Some(self.multi_read(ops, reader)),
            op => self.read_one(op, reader),
        }
    }

    /// The reads that may be in a multiRead.
    fn read_one(&self, op: &Op, reader: &Reader<'_>) -> Option<Answer> {
        match op {
            Op::GetData { path, .. } => Some(self.readable(path, reader).and_then(|_| self.get_data(path))),
            Op::GetChildren { path, .. } => {
                Some(self.readable(path, reader).map(|node| self.list(path, node)))
            }
            _ => None,
        }
    }

    /// The Stat of a node: BadArguments if the path has a NUL, then NoNode. No other check of the path: a
    /// malformed one is just not there. In 3.8.0 everybody may ask.
    fn exists(&self, path: &str, reader: &Reader<'_>) -> Answer {
        if path.contains('\0') {
            return Err(ZkError::BadArguments);
        }
        let node = self.found(path)?;
        match reader.compat {
            Compat::V3_8 => {}
            Compat::V3_9 => reader.may(node, perms::READ)?,
        }
        Ok(Reply::Stat(node.stat()))
    }

    /// Data and Stat of a node, for whoever may read it.
    pub(super) fn get_data(&self, path: &str) -> Answer {
        self.found(path).map(|node| Reply::Data { data: node.data.clone(), stat: node.stat() })
    }

    fn list(&self, path: &str, node: &Znode) -> Reply {
        Reply::Children { names: self.children(path).map(str::to_owned).collect(), stat: node.stat() }
    }

    /// Either READ or ADMIN will do; without ADMIN, digests are hidden.
    fn get_acl(&self, path: &str, reader: &Reader<'_>) -> Answer {
        let node = self.found(path)?;
        reader.may(node, perms::READ | perms::ADMIN)?;
        Ok(Reply::Acl { acl: access::shown(&node.acl, reader.ids), stat: node.stat() })
    }

    /// The root is listed under both its names, so that it counts as below the empty one.
    fn count_descendants(&self, path: &str, reader: &Reader<'_>) -> Answer {
        self.readable(path, reader)?;
        let below = self.tree.descendants(path::canonical(path)).count();
        Ok(Reply::Count((below + usize::from(path.is_empty())) as i32))
    }

    /// A prefix of strings, not of paths; a blank one or `/` is one of all.
    fn ephemerals_with(&self, prefix: &str, session: SessionId) -> Reply {
        let all = matches!(prefix.trim(), "" | path::ROOT);
        let wanted = |path: &&Arc<str>| all || path.starts_with(prefix);
        Reply::Paths(self.ephemerals_of(session).filter(wanted).map(ToString::to_string).collect())
    }

    fn multi_read(&self, ops: &[Op], reader: &Reader<'_>) -> Answer {
        let results: Option<_> = ops.iter().map(|op| self.read_one(op, reader)).collect();
        results.map(Reply::Multi).ok_or(ZkError::MarshallingError)
    }

    fn readable(&self, path: &str, reader: &Reader<'_>) -> Result<&Znode, ZkError> {
        let node = self.found(path)?;
        reader.may(node, perms::READ)?;
        Ok(node)
    }

    fn found(&self, path: &str) -> Result<&Znode, ZkError> {
        self.node(path).ok_or(ZkError::NoNode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::Zxid,
        zookeeper::{
            txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
            wire::{Acl, AclEntry},
        },
    };

    const OURS: SessionId = SessionId(7);
    const ANYBODY: Reader<'_> = Reader { session: OURS, ids: &[], compat: Compat::V3_8 };

    /// A tree with these nodes, made one after the other.
    fn tree(nodes: &[(&str, Lifetime, i32)]) -> Database {
        let mut db = Database::default();
        for ((path, lifetime, perms), zxid) in nodes.iter().zip(1..) {
            let acl = Acl::new([AclEntry { perms: *perms, id: Id::new("world", "anyone") }]);
            let (path, data, lifetime) = ((*path).to_owned(), Some([1].into()), *lifetime);
            let txn = Txn::Create { path, data, acl, lifetime, parent_cversion: 1 };
            let header = TxnHeader { session: OURS, xid: 1, zxid: Zxid(zxid), wall_ms: 0 };
            db.apply(&LoggedTxn { header, txn }).result.unwrap();
        }
        db
    }

    fn persistent(paths: &[&'static str]) -> Database {
        tree(&paths.iter().map(|path| (*path, Lifetime::Persistent, perms::ALL)).collect::<Vec<_>>())
    }

    fn get(path: &str) -> Op {
        Op::GetData { path: path.into(), watch: false }
    }

    fn list(path: &str) -> Op {
        Op::GetChildren { path: path.into(), watch: false }
    }

    fn exists(path: &str) -> Op {
        Op::Exists { path: path.into(), watch: false }
    }

    fn count(path: &str) -> Op {
        Op::GetAllChildrenNumber { path: path.into() }
    }

    fn acl(path: &str) -> Op {
        Op::GetAcl { path: path.into() }
    }

    fn answer(db: &Database, op: &Op) -> Answer {
        db.read(op, &ANYBODY).expect("it is a read")
    }

    /// The recording `read_errors` of a 3.8.0 server: a malformed path is just not there.
    #[test]
    fn malformed_path_is_no_node_but_nul_is_bad_arguments_for_exists() {
        let db = Database::default();
        for path in ["/nope", "/zookeeper/", "zookeeper", "//zookeeper", "/./zookeeper", "/\0"] {
            for op in [get(path), list(path), count(path), acl(path)] {
                assert_eq!(answer(&db, &op), Err(ZkError::NoNode), "{op:?}");
            }
        }
        assert_eq!(answer(&db, &exists("/nope")), Err(ZkError::NoNode));
        assert_eq!(answer(&db, &exists("/\0")), Err(ZkError::BadArguments));
    }

    #[test]
    fn empty_path_is_the_root() {
        let db = Database::default();
        assert_eq!(answer(&db, &list("")), answer(&db, &list("/")));
        assert!(answer(&db, &exists("")).is_ok());
        assert_eq!(
            [answer(&db, &count("/")), answer(&db, &count(""))],
            [Ok(Reply::Count(3)), Ok(Reply::Count(4))]
        );
    }

    #[test]
    fn each_read_answers_in_its_own_shape() {
        let db = Database::default();
        let stat = db.node("/zookeeper").unwrap().stat();
        let path = "/zookeeper";
        let names = vec!["config".to_owned(), "quota".to_owned()];
        for (op, reply) in [
            (exists(path), Reply::Stat(stat)),
            (get(path), Reply::Data { data: Some([].into()), stat }),
            (list(path), Reply::Children { names, stat }),
            (acl(path), Reply::Acl { acl: Acl::open(), stat }),
        ] {
            assert_eq!(answer(&db, &op), Ok(reply));
        }
        assert_eq!(db.read(&Op::Ping, &ANYBODY), None);
    }

    /// The recordings `watch_on_unreadable` and `acl_digest` of a 3.8.0 server; from ZOOKEEPER-2590 on
    /// exists needs READ as well, but only of a node that is there.
    #[test]
    fn unreadable_node_is_no_auth_for_all_but_an_old_exists() {
        let db = tree(&[("/n", Lifetime::Persistent, perms::WRITE)]);
        for op in [get("/n"), list("/n"), count("/n"), acl("/n")] {
            assert_eq!(answer(&db, &op), Err(ZkError::NoAuth), "{op:?}");
        }
        assert!(answer(&db, &exists("/n")).is_ok());
        let new = Reader { compat: Compat::V3_9, ..ANYBODY };
        assert_eq!(db.read(&exists("/n"), &new), Some(Err(ZkError::NoAuth)));
        assert_eq!(db.read(&exists("/m"), &new), Some(Err(ZkError::NoNode)));
        let administered = tree(&[("/n", Lifetime::Persistent, perms::ADMIN)]);
        assert!(answer(&administered, &acl("/n")).is_ok(), "READ or ADMIN");
    }

    /// The recording `count_children` of a 3.8.0 server.
    #[test]
    fn count_is_of_all_descendants() {
        let db = persistent(&["/a", "/a/b", "/a/b/c", "/ab"]);
        for (path, number) in [("/a", 2), ("/ab", 0), ("/", 7)] {
            assert_eq!(answer(&db, &count(path)), Ok(Reply::Count(number)), "{path}");
        }
    }

    /// The recording `ephemeral_prefix_not_path_aware` of a 3.8.0 server.
    #[test]
    fn ephemerals_are_found_by_a_prefix_of_strings() {
        let mine = Lifetime::Ephemeral(OURS);
        let theirs = Lifetime::Ephemeral(SessionId(8));
        let db = tree(&[("/ab", mine, 31), ("/abc", mine, 31), ("/abd", theirs, 31), ("/b", mine, 31)]);
        for (prefix, paths) in [
            ("/ab", &["/ab", "/abc"][..]),
            ("/ab/", &[]),
            ("/a", &["/ab", "/abc"]),
            ("", &["/ab", "/abc", "/b"]),
            (" / ", &["/ab", "/abc", "/b"]),
            ("b", &[]),
        ] {
            let paths = paths.iter().map(ToString::to_string).collect();
            assert_eq!(
                answer(&db, &Op::GetEphemerals { prefix: prefix.into() }),
                Ok(Reply::Paths(paths)),
                "{prefix:?}"
            );
        }
    }

    /// The recording `multi_read` of a 3.8.0 server.
    #[test]
    fn reads_in_a_multi_fail_each_on_its_own() {
        let db = tree(&[("/a", Lifetime::Persistent, 31), ("/secret", Lifetime::Persistent, 2)]);
        let ops = vec![get("/a"), get("/nope"), get("/secret"), list("/a")];
        let expected =
            [answer(&db, &get("/a")), Err(ZkError::NoNode), Err(ZkError::NoAuth), answer(&db, &list("/a"))];
        assert_eq!(answer(&db, &Op::MultiRead(ops)), Ok(Reply::Multi(expected.into())));
        let spoilt = vec![get("/a"), exists("/a")];
        assert_eq!(answer(&db, &Op::MultiRead(spoilt)), Err(ZkError::MarshallingError));
    }
}

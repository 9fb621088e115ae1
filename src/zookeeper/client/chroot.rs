//! Chroot — decides how paths of a client and paths of the servers translate. It never judges a path.
//!
//! As in the Java client, the prefix of getEphemerals, its answer and the paths in the results of a multi are
//! those of the servers.

use crate::zookeeper::{
    tree::path::validate,
    wire::{Op, Reply, WatchEvent},
};

/// The node that a client takes for the root; none: the root.
#[derive(Debug, Clone, Default)]
pub(super) struct Chroot(Option<String>);

impl Chroot {
    /// A chroot at this path; `/` is none.
    ///
    /// # Panics
    ///
    /// If it is not a path.
    pub(super) fn new(path: Option<String>) -> Self {
        let path = path.filter(|path| path != "/");
        let valid = path.as_deref().is_none_or(|path| validate(path).is_ok());
        assert!(valid, "a chroot is a path: {path:?}");
        Self(path)
    }

    /// The servers' name of a path of the client's (`prependChroot`).
    pub(super) fn to_server(&self, path: &str) -> String {
        match &self.0 {
            None => path.to_owned(),
            Some(chroot) if path == "/" => chroot.clone(),
            Some(chroot) => format!("{chroot}{path}"),
        }
    }

    /// The client's name of a path of the servers'.
    pub(super) fn to_client(&self, path: String) -> String {
        match &self.0 {
            Some(chroot) if path == *chroot => "/".to_owned(),
            Some(chroot) => path.strip_prefix(chroot.as_str()).map_or(path.clone(), str::to_owned),
            None => path,
        }
    }

    /// The request as the servers get it. The root itself is named as it is in a delete, which is refused.
    pub(super) fn op(&self, op: &Op) -> Op {
        let mut op = op.clone();
        let deletes_root = matches!(&op, Op::Delete { path, .. } if path == "/");
        if self.0.is_some() && !deletes_root {
            self.prefix(&mut op);
        }
        op
    }

    fn prefix(&self, op: &mut Op) {
        match op {
            Op::Multi(ops) | Op::MultiRead(ops) => ops.iter_mut().for_each(|op| self.prefix(op)),
            op => {
                if let Some(path) = op.named_path_mut() {
                    *path = self.to_server(path);
                }
            }
        }
    }

    /// The answer as the client's owner gets it.
    pub(super) fn reply(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Created { path, stat } => Reply::Created { path: self.to_client(path), stat },
            Reply::Synced { path } => Reply::Synced { path: self.to_client(path) },
            other => other,
        }
    }

    /// The event as the client's owner gets it.
    pub(super) fn event(&self, event: WatchEvent) -> WatchEvent {
        WatchEvent { path: self.to_client(event.path), change: event.change }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zookeeper::wire::{CreateMode, Stat};

    fn app() -> Chroot {
        Chroot::new(Some("/app".to_owned()))
    }

    #[test]
    fn paths_go_there_and_back() {
        for (client, server) in [("/", "/app"), ("/a", "/app/a"), ("/a/b", "/app/a/b")] {
            assert_eq!(app().to_server(client), server);
            assert_eq!(app().to_client(server.to_owned()), client);
        }
    }

    #[test]
    fn root_as_chroot_is_none() {
        assert_eq!(Chroot::new(Some("/".to_owned())).to_server("/a"), "/a");
    }

    #[test]
    fn every_op_of_a_multi_is_below_the_chroot() {
        let multi = |path: &str| {
            Op::Multi(vec![
                Op::create(path, None, CreateMode::Persistent),
                Op::Check { path: path.to_owned(), version: 1 },
            ])
        };
        assert_eq!(app().op(&multi("/a")), multi("/app/a"));
    }

    /// "specifically - root cannot be deleted", also where it is a chroot (`ZooKeeper.delete`)
    #[test]
    fn delete_of_the_root_is_sent_as_it_is() {
        let delete = Op::Delete { path: "/".to_owned(), version: -1 };
        assert_eq!(app().op(&delete), delete);
    }

    #[test]
    fn created_path_is_the_clients() {
        let created = |path: &str| Reply::Created { path: path.to_owned(), stat: Stat::default() };
        assert_eq!(app().reply(created("/app/n0000000001")), created("/n0000000001"));
    }
}

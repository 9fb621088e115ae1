//! Stories — decides how tests of these laws make small records of what clients do. It never runs anything,
//! and is not part of the library.

use crate::{
    check::{
        clients::connections::Client,
        record::{Record, txn, zk},
    },
    event::{Act, Change, EventKind as E},
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::wire::Stat,
};

/// A record of epoch 1 under construction: what is written is committed at once, by leader zk-1.
#[derive(Default)]
pub(in crate::check) struct Story {
    pub(in crate::check) record: Record,
    counter: u32,
}

/// The client of this number, with the session of this number.
pub(in crate::check) fn client(number: u16) -> Client {
    (HostId::client(number), SessionId(u64::from(number)))
}

/// The zxid of this number in epoch 1.
pub(in crate::check) fn zxid(counter: u32) -> Zxid {
    txn(1, counter).zxid
}

/// An ordinary node is made; `nth` is the number of this child of its parent, from 1.
pub(in crate::check) fn made(path: &str, nth: i32) -> Change {
    let (owner, lifetime) = (SessionId::NONE, "persistent".into());
    Change {
        path: path.into(),
        act: Act::Created { owner, lifetime, parent_creates: nth, data_length: 0, open: true },
    }
}

/// A node is removed.
pub(in crate::check) fn removed(path: &str) -> Change {
    Change { path: path.into(), act: Act::Deleted }
}

/// A node's data is set.
pub(in crate::check) fn set(path: &str, version: i32) -> Change {
    Change { path: path.into(), act: Act::DataSet { version, data_length: 0 } }
}

/// What a client is shown of a node made and last set by these transactions.
pub(in crate::check) fn stat(created: u32, modified: u32, version: i32) -> Stat {
    let (czxid, mzxid, pzxid) = (zxid(created), zxid(modified), zxid(created));
    Stat { czxid, mzxid, pzxid, version, ..Stat::default() }
}

impl Story {
    /// A leader is established.
    pub(in crate::check) fn new() -> Self {
        let mut story = Self::default();
        story.record.on(zk(1), E::LeaderEstablished { epoch: Epoch(1), history: vec![] });
        story
    }

    /// Client `number`'s request `xid` is proposed.
    pub(in crate::check) fn propose(&mut self, number: u16, xid: i32, changes: Vec<Change>) -> &mut Self {
        self.counter += 1;
        let (txn, session) = (txn(1, self.counter), client(number).1);
        let (zxid, digest, op) = (txn.zxid, txn.digest, "multi".into());
        self.record.on(zk(1), E::TxnProposed { zxid, digest, session, xid, op, changes });
        self
    }

    /// The last proposal is committed.
    pub(in crate::check) fn commit(&mut self) -> &mut Self {
        let txn = txn(1, self.counter);
        self.record.on(zk(1), E::TxnCommitted { zxid: txn.zxid, digest: txn.digest });
        self
    }

    /// A transaction that nobody waits for is committed.
    pub(in crate::check) fn write(&mut self, changes: Vec<Change>) -> &mut Self {
        self.propose(99, 0, changes).commit()
    }

    /// Something happens to client `number`.
    pub(in crate::check) fn note(&mut self, number: u16, event: impl FnOnce(SessionId) -> E) -> &mut Self {
        let (host, session) = client(number);
        self.record.on(host, event(session));
        self
    }

    /// Its session is established on a server.
    pub(in crate::check) fn connect(&mut self, number: u16, server: u16, resumed: bool) -> &mut Self {
        let (server, read_only) = (zk(server), false);
        self.note(number, |session| E::ClientConnected { session, server, resumed, read_only })
    }

    /// It loses its server.
    pub(in crate::check) fn disconnect(&mut self, number: u16) -> &mut Self {
        self.note(number, |session| E::ClientDisconnected { session })
    }

    /// It asks; `watch` as in the event.
    pub(in crate::check) fn ask(
        &mut self,
        number: u16,
        xid: i32,
        op: &str,
        path: &str,
        watch: &str,
    ) -> &mut Self {
        let (op, path, watch) = (op.to_owned().into(), path.to_owned(), watch.to_owned().into());
        self.note(number, |session| E::ClientAsked { session, xid, op, path, watch })
    }

    /// It is answered by the state after the transaction of that number.
    pub(in crate::check) fn answer(
        &mut self,
        number: u16,
        xid: i32,
        at: u32,
        (op, path): (&str, &str),
        result: Result<Option<Stat>, i32>,
    ) -> &mut Self {
        let (op, path, zxid) = (op.to_owned().into(), path.to_owned(), zxid(at));
        let (error, stat) = match result {
            Ok(stat) => (0, stat),
            Err(error) => (error, None),
        };
        self.note(number, |session| E::ClientReplied { session, xid, zxid, op, error, path, stat })
    }

    /// It asks and is answered without error.
    pub(in crate::check) fn read(
        &mut self,
        number: u16,
        xid: i32,
        at: u32,
        op: &str,
        path: &str,
        watch: &str,
    ) -> &mut Self {
        self.ask(number, xid, op, path, watch).answer(number, xid, at, (op, path), Ok(None))
    }

    /// A watch event reaches it.
    pub(in crate::check) fn told(&mut self, number: u16, path: &str, change: &str) -> &mut Self {
        let (path, change) = (path.to_owned(), change.to_owned().into());
        self.note(number, |session| E::ClientNotified { session, path, change })
    }
}

//! Requests — decides what a write becomes: a transaction, or the error that comes first. It never changes
//! the database.
//!
//! The leader judges each write against committed state overlaid with what earlier, still outstanding
//! transactions will do (`PrepRequestProcessor.java`).

mod outstanding;

use self::outstanding::Outstanding;
use super::{
    session::SessionTracker,
    tree::Database,
    txn::{LoggedTxn, TxnHeader},
    wire::Op,
};
use crate::name::{HostId, Zxid};

/// The leader's preparation of writes, in zxid order.
#[derive(Debug, Clone, Default)]
pub struct Preparer {
    outstanding: Outstanding,
}

impl Preparer {
    /// Turns a write into the transaction of `header.zxid`, which is used up whatever comes of it. `owner`
    /// is the server the request came through.
    ///
    /// # Panics
    ///
    /// If `op` is not a write, or its zxid is not above all before it.
    #[allow(clippy::todo)]
    pub fn prepare(
        &mut self,
        db: &Database,
        sessions: &mut SessionTracker,
        owner: HostId,
        header: TxnHeader,
        op: &Op,
    ) -> LoggedTxn {
        let _ = (db, sessions, owner, header, op, &mut self.outstanding);
        todo!()
    }

    /// Drops what transactions up to this one will do: it is in the database now. To be called whenever
    /// the leader has applied a transaction.
    pub fn committed(&mut self, zxid: Zxid) {
        self.outstanding.committed(zxid);
    }

    /// Drops everything: leadership is lost.
    pub fn clear(&mut self) {
        self.outstanding = Outstanding::default();
    }
}

//! Requests — decides what a write becomes: a transaction, or the error that comes first. It never changes
//! the database.
//!
//! The leader judges each write against committed state overlaid with what earlier, still outstanding
//! transactions will do (`PrepRequestProcessor.java`). The order of the checks is part of the protocol: a
//! write that is wrong in two ways gets the first error.

mod membership;
mod outstanding;
mod preparation;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use self::membership::Standing;
use self::{outstanding::Outstanding, preparation::Preparation};
use super::{
    session::SessionTracker,
    tree::Database,
    txn::{LoggedTxn, Txn, TxnHeader},
    wire::{EnsembleConfig, Id, Op, ZkError},
};
use crate::{
    core::Instant,
    name::{HostId, Zxid},
};

/// What a write is judged by.
#[derive(Debug)]
pub struct Desk<'a> {
    /// Committed state.
    pub db: &'a Database,
    /// Who lives, and where.
    pub sessions: &'a mut SessionTracker,
    /// Settings of the ensemble.
    pub config: &'a EnsembleConfig,
}

/// Who asks for a write, besides the session in its header.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The server whose client it is.
    pub owner: HostId,
    /// The identities of the client's connection; none if a server asks.
    pub ids: &'a [Id],
}

/// The leader's preparation of writes, in zxid order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Preparer {
    outstanding: Outstanding,
}

impl Preparer {
    /// Turns a write into the transaction of `header.zxid`, which is used up whatever comes of it: a
    /// refused write becomes [`Txn::Error`], a refused multi one `Error` for each of its operations. A write
    /// without a session is one of the leader's own.
    ///
    /// A closeSession marks the session as closing. A reconfig is answered as a standalone server does: in
    /// an ensemble it goes to [`Preparer::prepare_reconfig`].
    ///
    /// # Panics
    ///
    /// If `op` is not a write, or the zxid is below that of an outstanding change.
    pub fn prepare(&mut self, desk: Desk<'_>, asker: Asker<'_>, header: TxnHeader, op: &Op) -> LoggedTxn {
        let txn = self.preparation(desk, asker, header).write(op).unwrap_or_else(Txn::Error);
        LoggedTxn { header, txn }
    }

    /// Turns a reconfig from version `from` into the transaction of `header.zxid`. `plan` gives the new
    /// configuration as `/zookeeper/config` will have it, under the version `header.zxid`, or says what is
    /// wrong with it: BadArguments, MarshallingError for a number that is none, NewConfigNoQuorum. It is
    /// asked only when nothing comes before.
    pub fn prepare_reconfig(
        &mut self,
        desk: Desk<'_>,
        asker: Asker<'_>,
        header: TxnHeader,
        from: i64,
        standing: Standing,
        plan: impl FnOnce() -> Result<String, ZkError>,
    ) -> LoggedTxn {
        let mut preparation = self.preparation(desk, asker, header);
        let txn = preparation.reconfig(from, standing, plan).unwrap_or_else(Txn::Error);
        LoggedTxn { header, txn }
    }

    fn preparation<'a>(&'a mut self, desk: Desk<'a>, asker: Asker<'a>, header: TxnHeader) -> Preparation<'a> {
        Preparation { outstanding: &mut self.outstanding, desk, asker, header }
    }

    /// The transaction that opens `header.session`. The leader tracks the session from here on, as one of
    /// `owner`'s, so that it can expire even if its client is never told of it.
    pub fn prepare_session(
        &mut self,
        sessions: &mut SessionTracker,
        owner: HostId,
        header: TxnHeader,
        timeout_ms: u64,
        now: Instant,
    ) -> LoggedTxn {
        sessions.open(header.session, timeout_ms, now);
        sessions.claim(header.session, timeout_ms, owner, now);
        LoggedTxn { header, txn: Txn::CreateSession { timeout_ms } }
    }

    /// Drops what transactions up to this one have changed: the database shows it now. To be called
    /// whenever the leader has applied a transaction.
    pub fn committed(&mut self, zxid: Zxid) {
        self.outstanding.committed(zxid);
    }

    /// Drops everything: leadership is lost.
    pub fn clear(&mut self) {
        self.outstanding = Outstanding::default();
    }
}

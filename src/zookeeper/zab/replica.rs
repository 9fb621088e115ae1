//! Replica — decides what one server holds of the ensemble's history, in log and tree. It never decides
//! what is committed.

use std::time::Duration;

use crate::{
    core::{Entropy, Output},
    defect::Defects,
    event::{Ephemeral, EventKind},
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        log::{Record, Storage},
        peer::Message,
        tree::{Applied, Database},
        wire::EnsembleConfig,
    },
};

/// One server's part of the ensemble's state, and the settings by which it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    /// The server.
    pub me: HostId,
    /// Settings.
    pub config: EnsembleConfig,
    /// Bugs that are switched on.
    pub defects: Defects,
    /// Log, snapshots, epochs.
    pub storage: Storage,
    /// Znodes and sessions: those of the log up to some transaction.
    pub tree: Database,
    entropy: Entropy,
    /// Transactions to apply until the next snapshot.
    until_snapshot: u32,
}

impl Replica {
    /// What a server holds after boot.
    pub fn new(
        (me, config): (HostId, EnsembleConfig),
        defects: Defects,
        entropy: Entropy,
        (storage, tree): (Storage, Database),
    ) -> Self {
        let mut replica = Self { me, config, defects, storage, tree, entropy, until_snapshot: 0 };
        replica.count_anew();
        replica
    }

    /// tickTime.
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.config.tick_ms)
    }

    /// initLimit × tickTime.
    pub fn init_limit(&self) -> Duration {
        self.tick() * self.config.init_limit
    }

    /// syncLimit × tickTime.
    pub fn sync_limit(&self) -> Duration {
        self.tick() * self.config.sync_limit
    }

    /// The last transaction in the tree.
    pub fn applied(&self) -> Zxid {
        self.tree.last_processed()
    }

    /// Applies the next committed transaction, and takes a snapshot if it is time.
    pub fn apply(&mut self, record: &Record, out: &mut Output<Message>) -> Applied {
        let (zxid, digest) = (record.zxid(), record.digest());
        assert!(zxid > self.applied(), "transactions are applied in the order of their zxids, once");
        let applied = self.tree.apply(record.txn());
        out.note(EventKind::TxnApplied { zxid, digest });
        for note in &applied.notes {
            out.note(note.clone());
        }
        self.until_snapshot = self.until_snapshot.saturating_sub(1);
        if self.until_snapshot == 0 {
            self.storage.take_snapshot(&self.tree, out);
            self.count_anew();
        }
        applied
    }

    /// Brings the tree level with the log: transactions of which nobody knows whether they are committed
    /// become part of this server's history (`ZKDatabase.fastForwardDataBase`).
    pub fn fast_forward(&mut self) {
        for record in self.storage.after(self.tree.last_processed()) {
            self.tree.apply(record.txn());
        }
    }

    /// The event that tells what this server starts from.
    pub fn restored(&self) -> EventKind {
        let (sessions, ephemerals) = self.living();
        EventKind::ServerRestored {
            zxid: self.storage.last_zxid(),
            accepted_epoch: self.storage.accepted_epoch(),
            current_epoch: self.storage.current_epoch(),
            sessions,
            ephemerals,
        }
    }

    /// Sessions and ephemeral nodes in the tree.
    pub fn living(&self) -> (Vec<SessionId>, Vec<Ephemeral>) {
        (self.tree.sessions().keys().copied().collect(), self.tree.ephemerals())
    }

    /// Every server waits for another number of transactions, so that not all write at once
    /// (`SyncRequestProcessor.java`: snapCount / 2 and up to as many more).
    fn count_anew(&mut self) {
        let half = (self.config.snap_count / 2).max(1);
        self.until_snapshot = half + (self.entropy.draw() % u64::from(half)) as u32;
    }
}

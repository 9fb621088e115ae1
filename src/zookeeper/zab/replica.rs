//! Replica — decides what one server holds of the ensemble's history, in log and tree. It never decides
//! what is committed.

use std::time::Duration;

use crate::{
    core::{Entropy, Output},
    defect::Defects,
    event::{Ephemeral, EventKind},
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        election::Vote,
        log::{Record, Storage},
        membership::{Membership, Role, Views},
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
    /// Who belongs to the ensemble.
    pub views: Views,
    /// The leader that a reconfiguration named, if this server has to change its role because of one: then
    /// there is no election (`reconfigFlag`).
    pub appointed: Option<HostId>,
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
        views: Views,
        (storage, tree): (Storage, Database),
    ) -> Self {
        let (until_snapshot, appointed) = (0, None);
        let mut replica =
            Self { me, config, defects, storage, tree, views, appointed, entropy, until_snapshot };
        replica.count_anew();
        replica.show_configuration();
        replica
    }

    /// What this server does in the ensemble. One that is not listed follows as a participant without a
    /// vote.
    pub fn role(&self) -> Role {
        if self.views.committed().is_observer(self.me) { Role::Observer } else { Role::Participant }
    }

    /// The vote that this server begins an election with: for itself and its log. One that is no voter is for
    /// nobody; an observer does not even tell how long its log is.
    pub fn first_vote(&self) -> Vote {
        let mut vote = Vote::for_nobody();
        if self.views.committed().is_voter(self.me) {
            vote.leader = self.me;
        }
        if self.role() == Role::Participant {
            (vote.zxid, vote.peer_epoch) = (self.storage.last_zxid(), self.storage.current_epoch());
        }
        vote
    }

    /// A configuration was proposed (`setLastSeenQuorumVerifier`).
    pub fn see_configuration(&mut self, proposed: Membership, out: &mut Output<Message>) {
        if self.config.reconfig_enabled && self.views.see(proposed) {
            self.storage.write_proposed(self.views.proposed(), out);
        }
    }

    /// A configuration was committed; the one before it, if this one is news (`processReconfig`).
    pub fn activate_configuration(
        &mut self,
        committed: Membership,
        out: &mut Output<Message>,
    ) -> Option<Membership> {
        if !self.config.reconfig_enabled {
            return None;
        }
        let before = self.views.activate(committed)?;
        self.storage.write_committed(&self.views, out);
        self.show_configuration();
        let committed = self.views.committed();
        if !before.lists_the_same(committed) {
            out.note(EventKind::EnsembleChanged {
                zxid: committed.version(),
                voters: committed.voters().collect(),
                observers: committed.observers().collect(),
            });
        }
        Some(before)
    }

    /// "There is no log record for the initial config": every server writes it into its own tree.
    pub fn show_configuration(&mut self) {
        if !self.config.is_standalone() {
            let committed = self.views.committed();
            self.tree.init_config(&committed.to_string(), committed.version());
        }
    }

    /// A number below `limit`.
    pub fn draw_below(&mut self, limit: u64) -> u64 {
        self.entropy.draw() % limit
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
        self.show_configuration();
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

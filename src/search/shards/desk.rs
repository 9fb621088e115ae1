//! Desk — decides what the copies of a node share during a step: settings, the applied state, numbers, news.
//! It never decides for a copy.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    core::{FileName, Instant},
    event::EventKind,
    name::{AllocationId, HostId, IndexName, SeqNo, ShardId},
    search::{
        settings::{Settings, SettingsDocument},
        shard::pace::Pace,
        shards::{ShardMessage, ShardNews, ShardsConfig, tuning::Tuning},
        state::{ClusterState, ShardTable},
        transport::Ctx,
        wire::Transport,
    },
};

/// What a copy waits for the disk for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The copy's `state` file and what it was opened with.
    Opened,
    /// Operations in the translog of an index with `async` durability.
    InBackground,
    /// The `state` file, which says that the copy is going to be the primary.
    Marked,
    /// Operations in the translog.
    Appended {
        /// The local checkpoint when they were appended.
        up_to: SeqNo,
    },
    /// A file of a commit.
    CommitFile,
    /// The `meta.json` of a commit.
    CommitNamed,
    /// The translog's new generation after a commit.
    TranslogCut,
    /// The `state` file that names the folder of a recovery by files.
    Switched,
}

/// For whom a token is: a copy in one of its lives (it may have been closed and opened again since).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its shard.
    pub shard: ShardId,
    /// Which copy.
    pub allocation: AllocationId,
    /// Which of its lives.
    pub life: u64,
    /// What it waits for.
    pub awaited: Awaited,
}

/// What the copies of a node share.
#[derive(Debug)]
pub struct Desk {
    /// Settings.
    pub config: ShardsConfig,
    /// The newest state applied.
    pub state: Arc<ClusterState>,
    /// The newest settings applied.
    pub settings: Arc<SettingsDocument>,
    /// What happened, for the node's other parts.
    pub news: Vec<ShardNews>,
    /// When this node may send the next piece of a file in a recovery.
    pub recovery_free_at: Instant,
    paces: BTreeMap<IndexName, Pace>,
    /// What the settings of indices amount to, as far as anyone has asked.
    pub tuned: BTreeMap<IndexName, Tuning>,
    tickets: BTreeMap<u64, Ticket>,
    next_number: u64,
}

/// What a copy may use during a step.
pub struct Step<'a, 'c> {
    /// The node.
    pub ctx: &'a mut Ctx<'c>,
    /// What its copies share.
    pub desk: &'a mut Desk,
}

impl Desk {
    /// A fresh one.
    pub fn new(config: ShardsConfig) -> Self {
        let (state, settings) = (Arc::default(), Arc::default());
        Self {
            config,
            state,
            settings,
            news: Vec::new(),
            recovery_free_at: Instant(0),
            tuned: BTreeMap::new(),
            paces: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_number: 1,
        }
    }

    /// Newer settings hold.
    pub fn apply_settings(&mut self, settings: Arc<SettingsDocument>) {
        self.settings = settings;
        self.tuned.clear();
        self.paces.clear();
    }

    /// A number that no request, attempt, life or token of this node has had since it started.
    pub fn draw(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// How long a copy may be shown as started that is not, before it is reported: by then the controller
    /// should have seen that its node's session ended.
    pub fn missing_after(&self) -> Duration {
        self.config.search.session_timeout * 2
    }

    /// Takes back a token.
    pub fn redeem(&mut self, token: u64) -> Option<Ticket> {
        self.tickets.remove(&token)
    }
}

impl Step<'_, '_> {
    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        self.ctx.now.mono
    }

    /// The time after which a silent node counts as failed.
    pub fn request_deadline(&self) -> Instant {
        self.now() + self.desk.config.search.request_timeout
    }

    /// The time after this span.
    pub fn after(&self, span: Duration) -> Instant {
        self.now() + span
    }

    /// The table of a shard in the newest state applied.
    pub fn table(&self, shard: &ShardId) -> Option<&ShardTable> {
        self.desk.state.shard(shard)
    }

    /// The settings of a shard's index, as this node has applied them.
    pub fn settings(&self, shard: &ShardId) -> &Settings {
        self.desk.settings.of_index(&shard.index)
    }

    /// What the settings say to the copies of a shard.
    pub fn pace(&mut self, shard: &ShardId) -> Pace {
        if let Some(pace) = self.desk.paces.get(&shard.index) {
            return *pace;
        }
        let pace = Pace::of(&self.desk.settings, self.settings(shard));
        self.desk.paces.insert(shard.index.clone(), pace);
        pace
    }

    /// What the settings of an index amount to.
    pub fn tuning(&mut self, index: &IndexName) -> Tuning {
        if let Some(tuning) = self.desk.tuned.get(index) {
            return *tuning;
        }
        let tuning = Tuning::of(self.desk.settings.of_index(index), &self.desk.config.search);
        self.desk.tuned.insert(index.clone(), tuning);
        tuning
    }

    /// Records an event.
    pub fn note(&mut self, event: EventKind) {
        self.ctx.out.note(event);
    }

    /// Sends.
    pub fn send(&mut self, to: HostId, message: ShardMessage) {
        self.ctx.send(to, Transport::Shard(message));
    }

    /// Sends once `file` is durable.
    pub fn send_after_sync(&mut self, file: &FileName, to: HostId, message: ShardMessage) {
        if to == self.ctx.me {
            // Two copies of a shard on one node: no legal state has that, and if one does, a law says so.
            return self.send(to, message);
        }
        self.ctx.send_after_sync(file, to, Transport::Shard(message));
    }

    /// Has the ticket's copy told once `file` is durable.
    pub fn tell_after_sync(&mut self, file: &FileName, ticket: Ticket) {
        let token = self.desk.draw();
        self.desk.tickets.insert(token, ticket);
        self.ctx.out.tell_after_sync(file, token);
    }
}

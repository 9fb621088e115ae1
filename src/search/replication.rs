//! Replication — decides when a write may be acknowledged and how far all in-sync copies are, on the primary.
//! It never touches an operation, a disk or a connection.
//!
//! The rules are those of PacificA as Elasticsearch has them (`ReplicationOperation`, `ReplicationTracker`):
//! a write goes to every tracked copy; it is acknowledged when the primary and all of them have it durable,
//! or the controller has taken out of the in-sync set those that have not. The global checkpoint is the
//! lowest local checkpoint of the in-sync copies, and does not move while one of them is unknown.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    core::Instant,
    name::{AllocationId, HostId, SeqNo},
    search::{
        leases::Leases,
        shards::{Operations, PrimaryContext, Purpose, Written},
    },
};

/// The first pause before a request is sent again (`indices.replication.initial_retry_backoff_bound`).
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What the primary knows of another copy that it sends operations to.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Where the copy is.
    pub node: HostId,
    /// Its local checkpoint, once it has told it to this primary.
    pub checkpoint: Option<SeqNo>,
    /// The global checkpoint that was last sent to it.
    pub told: SeqNo,
    /// The global checkpoint that its translog surely knows.
    pub safe: SeqNo,
    acknowledged: SeqNo,
    unanswered: BTreeMap<u64, Sent>,
    retry_at: Option<Instant>,
    pause: Duration,
}

#[derive(Debug, Clone)]
struct Sent {
    operations: Operations,
    deadline: Instant,
}

/// A write that is not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingWrite {
    /// The caller's token.
    pub token: u64,
    /// What it will be told.
    pub written: Written,
    waiting: BTreeSet<AllocationId>,
    synced: bool,
}

/// A shard's replication group, as its primary sees it.
#[derive(Debug, Clone)]
pub struct Group {
    channels: BTreeMap<AllocationId, Channel>,
    /// In-sync copies beside the primary: those of the state, and those that it has finalised since.
    in_sync: BTreeSet<AllocationId>,
    finalized: BTreeSet<AllocationId>,
    writes: BTreeMap<SeqNo, PendingWrite>,
    /// Copies that a write waits for and nothing can be sent to, and until when.
    absent: BTreeMap<AllocationId, Instant>,
    reported: BTreeSet<AllocationId>,
    synced: SeqNo,
    global_checkpoint: SeqNo,
}

impl Group {
    /// The group of a primary that has just begun.
    pub fn new(global_checkpoint: SeqNo) -> Self {
        Self {
            channels: BTreeMap::new(),
            in_sync: BTreeSet::new(),
            finalized: BTreeSet::new(),
            writes: BTreeMap::new(),
            absent: BTreeMap::new(),
            reported: BTreeSet::new(),
            synced: SeqNo::NONE,
            global_checkpoint,
        }
    }

    /// Begins to track a copy: from now on every operation goes to it. A former channel is forgotten.
    pub fn track(&mut self, copy: AllocationId, node: HostId, checkpoint: Option<SeqNo>) {
        let channel = Channel {
            node,
            checkpoint,
            told: SeqNo::NONE,
            safe: SeqNo::NONE,
            acknowledged: SeqNo::NONE,
            unanswered: BTreeMap::new(),
            retry_at: None,
            pause: RETRY_PAUSE,
        };
        self.channels.insert(copy, channel);
        self.absent.remove(&copy);
    }

    /// Stops to send to a copy that is not lost: a write that waits for it does so until `deadline`.
    pub fn untrack(&mut self, copy: AllocationId, deadline: Instant) {
        let waited_for = self.writes.values().any(|write| write.waiting.contains(&copy));
        if self.channels.remove(&copy).is_some() && waited_for {
            self.absent.insert(copy, deadline);
        }
    }

    /// A copy is being built that has not asked this primary: it is tracked no more, unless it has been found
    /// level already.
    pub fn forget_life(&mut self, copy: AllocationId, deadline: Instant) {
        if !self.finalized.contains(&copy) {
            self.untrack(copy, deadline);
        }
    }

    /// The tracked copies and where they are.
    pub fn tracked(&self) -> impl Iterator<Item = (AllocationId, HostId)> {
        self.channels.iter().map(|(copy, channel)| (*copy, channel.node))
    }

    /// What is known of a tracked copy.
    pub fn channel(&self, copy: AllocationId) -> Option<&Channel> {
        self.channels.get(&copy)
    }

    /// The in-sync set of the newest state, without the primary. Copies that the state does not list any
    /// more (`listed`) are no longer tracked. Gives the in-sync copies that are out of reach.
    pub fn adopt(&mut self, in_sync: BTreeSet<AllocationId>, listed: &BTreeSet<AllocationId>) {
        self.finalized.retain(|copy| listed.contains(copy));
        self.in_sync = in_sync.union(&self.finalized).copied().collect();
        self.channels.retain(|copy, _| listed.contains(copy));
        let known = |copy: &AllocationId| listed.contains(copy) || in_sync.contains(copy);
        self.absent.retain(|copy, _| known(copy));
        self.reported.retain(known);
        for write in self.writes.values_mut() {
            write.waiting.retain(known);
        }
    }

    /// The state shows that these serve: if one of them is built again, that is a new life.
    pub fn started(&mut self, copies: impl IntoIterator<Item = AllocationId>) {
        copies.into_iter().for_each(|copy| _ = self.finalized.remove(&copy));
    }

    /// Of the copies of a state beside the primary, those that no operation is sent to.
    pub fn skipped(&self, copies: impl IntoIterator<Item = Option<AllocationId>>) -> u32 {
        let is_sent = |id: AllocationId| self.channels.contains_key(&id) || self.in_sync.contains(&id);
        copies.into_iter().filter(|copy| !copy.is_some_and(is_sent)).count() as u32
    }

    /// A recovering copy has everything: it counts from now on, before the controller knows.
    pub fn finalize(&mut self, copy: AllocationId) {
        self.finalized.insert(copy);
        self.in_sync.insert(copy);
    }

    /// The in-sync copies beside the primary.
    pub fn in_sync(&self) -> impl Iterator<Item = AllocationId> {
        self.in_sync.iter().copied()
    }

    /// Whether a copy counts as in sync.
    pub fn is_in_sync(&self, copy: AllocationId) -> bool {
        self.in_sync.contains(&copy)
    }

    /// A write has been numbered. It waits for the primary's disk, for every tracked copy, and for every
    /// in-sync copy, tracked or not; `reachable` ones that are not tracked get until `deadline` to turn up. `written`
    /// comes with the count of the copies that nothing is sent to.
    /// Gives the in-sync copies that cannot be reached at all: the controller must remove them.
    pub fn begin(
        &mut self,
        token: u64,
        written: Written,
        deadline: Instant,
        reachable: impl Fn(AllocationId) -> bool,
    ) -> Vec<AllocationId> {
        let waiting: BTreeSet<_> =
            self.channels.keys().copied().chain(self.in_sync.iter().copied()).collect();
        let mut unreachable = Vec::new();
        for copy in waiting.iter().filter(|copy| !self.channels.contains_key(copy)) {
            if reachable(*copy) {
                self.absent.entry(*copy).or_insert(deadline);
            } else {
                unreachable.push(*copy);
            }
        }
        let mut written = written;
        written.copies = (1 + waiting.len() as u32 + written.copies.0, 0);
        let seq_no = written.seq_no;
        self.writes.insert(seq_no, PendingWrite { token, written, waiting, synced: false });
        unreachable
    }

    /// A request has been sent to a tracked copy.
    pub fn sent(&mut self, copy: AllocationId, operations: Operations, deadline: Instant) {
        if let Some(channel) = self.channels.get_mut(&copy) {
            channel.told = channel.told.max(operations.global_checkpoint);
            channel.unanswered.insert(operations.request, Sent { operations, deadline });
        }
    }

    /// The global checkpoint alone has been sent to a copy.
    pub fn told(&mut self, copy: AllocationId, global_checkpoint: SeqNo) {
        if let Some(channel) = self.channels.get_mut(&copy) {
            channel.told = channel.told.max(global_checkpoint);
        }
    }

    /// A copy has the operations of a request, durable. Gives them; none if the request is not known.
    pub fn taken(&mut self, copy: AllocationId, request: u64, checkpoint: SeqNo) -> Option<Operations> {
        let channel = self.channels.get_mut(&copy)?;
        let Sent { operations, .. } = channel.unanswered.remove(&request)?;
        channel.pause = RETRY_PAUSE;
        channel.checkpoint = channel.checkpoint.max(Some(checkpoint));
        // An operation is written down with the global checkpoint of the message before.
        channel.safe = channel.safe.max(channel.acknowledged);
        channel.acknowledged = channel.acknowledged.max(operations.global_checkpoint);
        let sent = operations.operations.iter().map(|operation| operation.seq_no);
        // The answer to a recovery is for everything up to the checkpoint: also for writes whose own request was
        // forgotten with a former channel.
        let recovers = matches!(operations.purpose, Purpose::Recovery { .. });
        let recovered = self.writes.keys().copied().filter(|seq_no| recovers && *seq_no <= checkpoint);
        let held: Vec<_> = sent.chain(recovered).collect();
        for seq_no in held {
            if let Some(write) = self.writes.get_mut(&seq_no)
                && write.waiting.remove(&copy)
            {
                write.written.copies.1 += 1;
            }
        }
        Some(operations)
    }

    /// Whether this request to this copy is unanswered.
    pub fn awaits(&self, copy: AllocationId, request: u64) -> bool {
        self.channels.get(&copy).is_some_and(|channel| channel.unanswered.contains_key(&request))
    }

    /// A copy has made durable what it had taken before.
    pub fn persisted(&mut self, copy: AllocationId, checkpoint: SeqNo) {
        if let Some(channel) = self.channels.get_mut(&copy) {
            channel.checkpoint = channel.checkpoint.max(Some(checkpoint));
        }
    }

    /// Everything up to here is durable on the primary itself.
    pub fn synced(&mut self, up_to: SeqNo) {
        self.synced = self.synced.max(up_to);
        self.processed(up_to);
    }

    /// Everything up to here is in the primary's translog, and that is enough to acknowledge it.
    pub fn processed(&mut self, up_to: SeqNo) {
        for (_, write) in self.writes.range_mut(..=up_to).filter(|(_, write)| !write.synced) {
            write.synced = true;
            write.written.copies.1 += 1;
        }
    }

    /// Takes out the writes that may be acknowledged, by number.
    pub fn complete(&mut self) -> Vec<PendingWrite> {
        let done = |write: &PendingWrite| write.synced && write.waiting.is_empty();
        let numbers: Vec<_> = self.writes.iter().filter(|(_, write)| done(write)).map(|(n, _)| *n).collect();
        numbers.iter().filter_map(|seq_no| self.writes.remove(seq_no)).collect()
    }

    /// Every write waits for the primary's own disk alone from now on.
    pub fn wait_for_nobody(&mut self) {
        self.writes.values_mut().for_each(|write| write.waiting.clear());
    }

    /// Takes out every write: the primary's time is over.
    pub fn abandon(&mut self) -> Vec<PendingWrite> {
        std::mem::take(&mut self.writes).into_values().collect()
    }

    /// Whether no write is under way.
    pub fn is_drained(&self) -> bool {
        self.writes.is_empty()
    }

    /// Moves the global checkpoint as far as all in-sync copies are. Gives it.
    pub fn advance(&mut self) -> SeqNo {
        let checkpoints = self.in_sync.iter().map(|copy| self.channels.get(copy)?.checkpoint);
        let lowest = checkpoints.chain([Some(self.synced)]).min().flatten();
        self.global_checkpoint = self.global_checkpoint.max(lowest.unwrap_or(SeqNo::NONE));
        self.global_checkpoint
    }

    /// The global checkpoint.
    pub fn global_checkpoint(&self) -> SeqNo {
        self.global_checkpoint
    }

    /// In-sync copies that have been told less than the global checkpoint.
    pub fn untold(&self) -> Vec<(AllocationId, HostId)> {
        let untold = self
            .channels
            .iter()
            .filter(|(copy, channel)| self.in_sync.contains(copy) && channel.told < self.global_checkpoint);
        untold.map(|(copy, channel)| (*copy, channel.node)).collect()
    }

    /// Copies that a write waits for and that are not tracked: `reachable` ones, as the newest state has it,
    /// get until `deadline` to turn up. Gives the others: the controller must remove them.
    pub fn unreachable(
        &mut self,
        deadline: Instant,
        reachable: impl Fn(AllocationId) -> bool,
    ) -> Vec<AllocationId> {
        let waited_for: BTreeSet<_> =
            self.writes.values().flat_map(|write| &write.waiting).copied().collect();
        let untracked = waited_for.into_iter().filter(|copy| !self.channels.contains_key(copy));
        let (absent, unreachable): (Vec<_>, Vec<_>) = untracked.partition(|copy| reachable(*copy));
        for copy in absent {
            self.absent.entry(copy).or_insert(deadline);
        }
        unreachable
    }

    /// Copies that have been silent for too long.
    pub fn overdue(&self, now: Instant) -> Vec<AllocationId> {
        let silent = self.channels.iter().filter(|(_, channel)| channel.first_deadline() <= Some(now));
        let silent = silent.filter(|(_, channel)| channel.first_deadline().is_some()).map(|(copy, _)| *copy);
        let absent = self.absent.iter().filter(|(_, deadline)| **deadline <= now).map(|(copy, _)| *copy);
        silent.chain(absent).filter(|copy| !self.reported.contains(copy)).collect()
    }

    /// When [`Self::overdue`] or [`Self::due_retries`] may next have something new.
    pub fn next_deadline(&self) -> Option<Instant> {
        let silent =
            self.channels.iter().filter_map(|(copy, channel)| Some((copy, channel.first_deadline()?)));
        let absent = self.absent.iter().map(|(copy, deadline)| (copy, *deadline));
        let open = silent.chain(absent).filter(|(copy, _)| !self.reported.contains(copy));
        let retries = self.channels.values().filter_map(|channel| channel.retry_at);
        open.map(|(_, deadline)| deadline).chain(retries).min()
    }

    /// A copy is to be reported as failed: whether it has not been yet.
    pub fn report(&mut self, copy: AllocationId) -> bool {
        self.reported.insert(copy)
    }

    /// The connection to a node broke: what its copies have not answered is sent again after a pause, a longer one
    /// each time. A pause that is under way is not made longer by what is sent meanwhile.
    pub fn peer_lost(&mut self, node: HostId, now: Instant) {
        for channel in self.channels.values_mut().filter(|channel| channel.node == node) {
            if !channel.unanswered.is_empty() && channel.retry_at.is_none() {
                channel.retry_at = Some(now + channel.pause);
                channel.pause *= 2;
            }
        }
    }

    /// Requests whose pause is over: they are to be sent again, as they were, to where they were sent.
    pub fn due_retries(&mut self, now: Instant) -> Vec<(AllocationId, HostId, Operations)> {
        let due = |channel: &Channel| channel.retry_at.is_some_and(|at| at <= now);
        let mut retries = Vec::new();
        for (copy, channel) in self.channels.iter_mut().filter(|(_, channel)| due(channel)) {
            channel.retry_at = None;
            let unanswered = channel.unanswered.values().map(|sent| sent.operations.clone());
            retries.extend(unanswered.map(|operations| (*copy, channel.node, operations)));
        }
        retries
    }

    /// What the target of a relocation must know to go on as the primary `target` instead of `source`.
    pub fn context(&self, source: AllocationId, target: AllocationId, leases: Leases) -> PrimaryContext {
        let others = self.in_sync.iter().filter(|copy| **copy != target);
        let known = others.filter_map(|copy| Some((*copy, self.channels.get(copy)?.checkpoint?)));
        PrimaryContext {
            global_checkpoint: self.global_checkpoint,
            in_sync: known.chain([(source, self.synced)]).collect(),
            leases,
        }
    }
}

impl Channel {
    // Requests are numbered in the order they are sent, with one timeout for all.
    fn first_deadline(&self) -> Option<Instant> {
        self.unanswered.values().next().map(|sent| sent.deadline)
    }
}

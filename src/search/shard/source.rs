//! Source — decides how a primary brings another copy level, and how it hands its role over. It never speeds
//! a copy up by leaving something out.
//!
//! Elasticsearch's `RecoverySourceHandler`: if the history holds everything from where the target starts,
//! operations alone; otherwise first the files of the safe commit. The target is tracked *before* the highest
//! number is read, so that an operation is either sent by the recovery or replicated, never neither.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Phase, Shard};
use crate::{
    core::Instant,
    defect::Defect,
    event::CopyState,
    name::{AllocationId, HostId, SeqNo, Term},
    search::{
        engine::Failure,
        leases::Leases,
        recovery::{CHUNK_BYTES, CommitFile},
        shards::{Body, Operations, PrimaryContext, Purpose, ShardMessage, Step},
    },
};

/// A recovery that the primary feeds.
#[derive(Debug)]
pub(super) struct Session {
    attempt: u64,
    node: HostId,
    stage: Stage,
    /// Pieces of files that wait until they may be sent.
    throttled: VecDeque<(Instant, ShardMessage)>,
}

#[derive(Debug)]
enum Stage {
    /// It fetches these files, of a commit up to this number.
    Files { committed: SeqNo, files: BTreeMap<String, Arc<[u8]>> },
    /// It has been sent all operations; the answer to this request says that it has them.
    Operations { last: u64 },
    /// The same, and it is to be tracked only then.
    Snapshot { last: u64 },
    /// It has them.
    CaughtUp,
}

/// A primary that takes no new writes, so that it can be handed over.
#[derive(Debug)]
pub(super) struct Draining {
    pub(super) target: AllocationId,
    node: HostId,
    attempt: u64,
}

/// A primary that has handed its role over and waits for the state to show it.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) target: AllocationId,
    pub(super) node: HostId,
    pub(super) context: PrimaryContext,
    pub(super) again_at: Instant,
    message: ShardMessage,
}

impl Session {
    fn new(attempt: u64, node: HostId, stage: Stage) -> Self {
        Self { attempt, node, stage, throttled: VecDeque::new() }
    }

    /// When it wants to be woken.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.throttled.front().map(|(at, _)| *at)
    }

    /// Of one that fetches files: up to where they reach.
    pub(super) fn committed(&self) -> Option<SeqNo> {
        match &self.stage {
            Stage::Files { committed, .. } => Some(*committed),
            _ => None,
        }
    }
}

impl Shard {
    /// A copy asks for what it lacks.
    pub(super) fn recovery_asked(
        &mut self,
        step: &mut Step<'_, '_>,
        (node, copy): (HostId, AllocationId),
        term: Term,
        attempt: u64,
        next: SeqNo,
    ) -> Result<(), Failure> {
        if matches!(&self.phase, Phase::Relocated(handed) if handed.target == copy) && term == self.term {
            self.feed_successor(step, attempt, next);
            return Ok(());
        }
        if !self.can_feed(step, (node, copy), term) {
            step.send(node, self.message(copy, Body::Later { attempt }));
            return Ok(());
        }
        match self.open_store().operations_from(next) {
            Some(_) => self.feed_operations(step, (node, copy), attempt, next),
            None => {
                // What is damaged is sent to nobody: this copy fails instead.
                self.open_store().engine.check_durable()?;
                self.offer_files(step, (node, copy), attempt);
            }
        }
        Ok(())
    }

    // The target must be in the state that this primary has applied: otherwise it would not be told of
    // changes to it. And a primary that is new, or about to go, has other things to do first.
    fn can_feed(&self, step: &Step<'_, '_>, (node, copy): (HostId, AllocationId), term: Term) -> bool {
        let ready = matches!(&self.phase, Phase::Primary(primary) if !primary.is_blocked());
        let listed = self
            .table(step)
            .and_then(|table| table.copy(copy))
            .is_some_and(|listed| listed.node == Some(node) && listed.state == CopyState::Initializing);
        ready && listed && term == self.term
    }

    fn feed_operations(
        &mut self,
        step: &mut Step<'_, '_>,
        (node, copy): (HostId, AllocationId),
        attempt: u64,
        next: SeqNo,
    ) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        let tracks_late = step.desk.config.defects.has(Defect::TracksAfterSnapshot);
        if !tracks_late {
            primary.group.track(copy, node, Some(SeqNo(next.0 - 1)));
        }
        self.lease_from(step, node, next);
        let operations = self.open_store().operations_from(next).unwrap_or_default();
        let requests = self.send_batches(step, (node, copy), &operations, |_| Purpose::Recovery { attempt });
        let last = requests.last().copied().unwrap_or_default();
        if let Phase::Primary(primary) = &mut self.phase {
            let stage = if tracks_late { Stage::Snapshot { last } } else { Stage::Operations { last } };
            primary.sessions.insert(copy, Session::new(attempt, node, stage));
        }
    }

    /// The target has answered for the whole snapshot: if it is still to be tracked, it is from now on.
    pub(super) fn track_late(
        &mut self,
        step: &mut Step<'_, '_>,
        copy: AllocationId,
        request: u64,
        checkpoint: SeqNo,
    ) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        let Some(session) = primary.sessions.get_mut(&copy) else { return };
        if matches!(session.stage, Stage::Snapshot { last } if last == request) {
            session.stage = Stage::CaughtUp;
            primary.group.track(copy, session.node, Some(checkpoint));
            self.recovery_answered(step, copy, request);
        }
    }

    fn offer_files(&mut self, step: &mut Step<'_, '_>, (node, copy): (HostId, AllocationId), attempt: u64) {
        let deadline = step.request_deadline();
        let store = self.open_store();
        let (files, committed) = (store.engine.snapshot(), store.durable());
        let announced = files.iter().map(|(file, bytes)| CommitFile::of(file, bytes)).collect();
        let Phase::Primary(primary) = &mut self.phase else { return };
        primary.group.untrack(copy, deadline);
        primary.sessions.insert(copy, Session::new(attempt, node, Stage::Files { committed, files }));
        self.lease_from(step, node, committed.next());
        step.send(node, self.message(copy, Body::Files { attempt, files: announced }));
    }

    /// A target asks for the next piece of a file.
    pub(super) fn chunk_asked(
        &mut self,
        step: &mut Step<'_, '_>,
        (node, copy): (HostId, AllocationId),
        attempt: u64,
        file: String,
        offset: u64,
    ) -> Result<(), Failure> {
        let bytes = match &self.phase {
            Phase::Primary(primary) => {
                primary.sessions.get(&copy).and_then(|session| session.chunk(attempt, &file, offset))
            }
            _ => None,
        };
        let Some(bytes) = bytes else {
            step.send(node, self.message(copy, Body::Later { attempt }));
            return Ok(());
        };
        let at = self.throttle(step, bytes.len());
        let message = self.message(copy, Body::Chunk { attempt, file, offset, bytes });
        if at <= step.now() {
            step.send(node, message);
        } else if let Phase::Primary(primary) = &mut self.phase
            && let Some(session) = primary.sessions.get_mut(&copy)
        {
            session.throttled.push_back((at, message));
        }
        Ok(())
    }

    // `indices.recovery.max_bytes_per_sec` of this node, whatever the number of its recoveries.
    fn throttle(&self, step: &mut Step<'_, '_>, bytes: usize) -> Instant {
        let (now, rate) = (step.now(), step.pace(&self.id).recovery_rate);
        let at = step.desk.recovery_free_at.max(now);
        if rate > 0 {
            let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate);
            step.desk.recovery_free_at = at + Duration::from_nanos(nanos as u64);
        }
        at
    }

    /// Sends the pieces of files whose time has come.
    pub(super) fn send_throttled(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return };
        for session in primary.sessions.values_mut() {
            while let Some((_, message)) = session.throttled.pop_front_if(|(at, _)| *at <= now) {
                step.send(session.node, message);
            }
        }
    }

    /// A copy has answered: a recovery may be at its end.
    pub(super) fn recovery_answered(&mut self, step: &mut Step<'_, '_>, copy: AllocationId, request: u64) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        let Some(session) = primary.sessions.get_mut(&copy) else { return };
        if matches!(session.stage, Stage::Operations { last } if last == request) {
            session.stage = Stage::CaughtUp;
        }
        let checkpoint = primary.group.channel(copy).and_then(|channel| channel.checkpoint);
        let level = checkpoint >= Some(primary.group.global_checkpoint());
        if matches!(session.stage, Stage::CaughtUp) && level {
            self.finalize(step, copy);
        }
    }

    // From here on the copy counts: the global checkpoint cannot pass it, and no write is acknowledged
    // without it.
    fn finalize(&mut self, step: &mut Step<'_, '_>, copy: AllocationId) {
        let replaces_me = self.entry(step).is_some_and(|me| me.relocating == Some(copy));
        let Phase::Primary(primary) = &mut self.phase else { return };
        let Some(Session { attempt, node, .. }) = primary.sessions.remove(&copy) else { return };
        primary.group.finalize(copy);
        if replaces_me {
            primary.draining = Some(Draining { target: copy, node, attempt });
            return;
        }
        let global_checkpoint = primary.group.global_checkpoint();
        step.send(node, self.message(copy, Body::Finalized { attempt, global_checkpoint }));
    }

    /// No write is under way any more: the role goes to the target. From this moment nobody acts as primary
    /// until the state shows the target as started.
    pub(super) fn hand_off_if_drained(&mut self, step: &mut Step<'_, '_>) {
        let Phase::Primary(primary) = &self.phase else { return };
        let Some(Draining { target, node, attempt }) = primary.draining else { return };
        if !primary.group.is_drained() || primary.is_resyncing() {
            return;
        }
        let leases = self.store.as_ref().map_or_else(Leases::default, |store| store.leases.clone());
        let context = primary.group.context(self.allocation, target, leases);
        let message = self.message(target, Body::HandOff { attempt, context: context.clone() });
        self.deactivate(step, "handed-off".into());
        step.send(node, message.clone());
        let again_at = step.request_deadline();
        self.phase = Phase::Relocated(Box::new(Handed { target, node, context, again_at, message }));
    }

    // The successor lost the connection before the hand-off reached it, and began anew. Nothing has changed
    // here since: the rest of the operations and the hand-off once more.
    fn feed_successor(&mut self, step: &mut Step<'_, '_>, attempt: u64, next: SeqNo) {
        let operations = self.open_store().operations_from(next).unwrap_or_default();
        let request = step.desk.draw();
        let Phase::Relocated(handed) = &mut self.phase else { return };
        let PrimaryContext { global_checkpoint, .. } = handed.context;
        let (node, target, context) = (handed.node, handed.target, handed.context.clone());
        let purpose = Purpose::Recovery { attempt };
        let operations = Operations { request, purpose, operations, global_checkpoint };
        step.send(node, self.message(target, Body::Operations(operations)));
        let message = self.message(target, Body::HandOff { attempt, context });
        if let Phase::Relocated(handed) = &mut self.phase {
            handed.message = message;
        }
        self.hand_off_again(step);
    }

    /// The hand-off may not have arrived; a second one does no harm.
    pub(super) fn hand_off_again(&mut self, step: &mut Step<'_, '_>) {
        let again_at = step.request_deadline();
        if let Phase::Relocated(handed) = &mut self.phase {
            handed.again_at = again_at;
            step.send(handed.node, handed.message.clone());
        }
    }
}

impl Session {
    fn chunk(&self, attempt: u64, file: &str, offset: u64) -> Option<Arc<[u8]>> {
        let Stage::Files { files, .. } = &self.stage else { return None };
        let bytes = files.get(file).filter(|_| attempt == self.attempt)?;
        let rest = bytes.get(usize::try_from(offset).ok()?..)?;
        Some(rest[..rest.len().min(CHUNK_BYTES)].into())
    }
}

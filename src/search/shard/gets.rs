//! Gets — decides what a copy answers to a get, and when. It never decides which copy is asked.
//!
//! Under the policy `any` a copy answers at once with what it has, as in Elasticsearch. Under `primary` and `lease`
//! only the primary answers, and only with what every in-sync copy has: what it shows can be neither dirty nor
//! undone. That nobody else acts as the primary meanwhile is shown under `primary` by the in-sync copies, each of
//! which takes a request of this term that was sent after the get had come; whoever is promoted is one of them.
//! Under `lease` the node shows it by its session, which its own part sees to (`coordination::serve`).

use std::collections::BTreeSet;

use super::{Phase, Shard};
use crate::{
    core::Instant,
    name::{AllocationId, SeqNo},
    scenario::plan::ReadPolicy,
    search::{
        api::GotDoc,
        shards::{Purpose, ReadCall, ShardNews, ShardRefusal, Step},
    },
};

/// A get that the primary has not answered yet.
#[derive(Debug)]
pub(super) struct PendingGet {
    token: u64,
    doc: Option<GotDoc>,
    /// The operation that the answer shows: every in-sync copy must have it.
    shown: SeqNo,
    /// Requests from this number on were sent after the get had come.
    since: u64,
    /// Copies that have not answered such a request.
    waiting: BTreeSet<AllocationId>,
    deadline: Instant,
}

impl PendingGet {
    /// When it ends without an answer.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// A copy has taken a request of this primary's term.
    pub(super) fn confirm(&mut self, copy: AllocationId, request: u64) {
        if request >= self.since {
            self.waiting.remove(&copy);
        }
    }

    /// Only these copies matter any more.
    pub(super) fn retain(&mut self, is_in_sync: impl Fn(AllocationId) -> bool) {
        self.waiting.retain(|copy| is_in_sync(*copy));
    }

    /// Copies that it waits for.
    pub(super) fn waiting(&self) -> impl Iterator<Item = AllocationId> {
        self.waiting.iter().copied()
    }

    /// Ends it: another try may go elsewhere.
    pub(super) fn refuse(self, step: &mut Step<'_, '_>) {
        let result = Err(ShardRefusal::NotHere { certain: true });
        step.desk.news.push(ShardNews::Get { token: self.token, result });
    }
}

impl Shard {
    /// A get; ends in [`ShardNews::Get`].
    pub fn get(&mut self, step: &mut Step<'_, '_>, token: u64, call: &ReadCall) {
        let answer = match call.policy {
            ReadPolicy::Any => self.read(step, call).map(|(doc, _)| Some(doc)),
            ReadPolicy::Primary | ReadPolicy::Lease => self.begin_get(step, token, call).map(|()| None),
        };
        match answer {
            Ok(None) => {
                let result = self.advance(step);
                self.settle(step, result);
            }
            Ok(Some(doc)) => step.desk.news.push(ShardNews::Get { token, result: Ok(doc) }),
            Err(refusal) => step.desk.news.push(ShardNews::Get { token, result: Err(refusal) }),
        }
    }

    // The document, and the operation that made it what it is.
    fn read(
        &mut self,
        step: &mut Step<'_, '_>,
        call: &ReadCall,
    ) -> Result<(Option<GotDoc>, SeqNo), ShardRefusal> {
        self.check_serves()?;
        self.check_reads(step)?;
        if call.refresh {
            self.refresh(step)?;
        } else if !call.realtime {
            self.refresh_if_due(step)?;
        }
        let engine = &self.open_store().engine;
        let shown = engine.version(&call.id).map_or(SeqNo::NONE, |version| version.seq_no);
        let got = if call.realtime { engine.get(&call.id) } else { engine.get_searchable(&call.id) };
        self.or_fail(step, got).map(|doc| (doc, shown))
    }

    fn begin_get(
        &mut self,
        step: &mut Step<'_, '_>,
        token: u64,
        call: &ReadCall,
    ) -> Result<(), ShardRefusal> {
        if !matches!(self.phase, Phase::Primary(_)) {
            return Err(ShardRefusal::NotHere { certain: true });
        }
        let (doc, shown) = self.read(step, call)?;
        let (since, deadline) = (step.desk.draw(), step.request_deadline());
        let waiting = match call.policy {
            ReadPolicy::Primary => self.ask_in_sync(step),
            ReadPolicy::Any | ReadPolicy::Lease => BTreeSet::new(),
        };
        if let Phase::Primary(primary) = &mut self.phase {
            primary.gets.push(PendingGet { token, doc, shown, since, waiting, deadline });
        }
        self.report_unconfirmed(step);
        Ok(())
    }

    // A round like that of a write, without an operation.
    fn ask_in_sync(&mut self, step: &mut Step<'_, '_>) -> BTreeSet<AllocationId> {
        let Phase::Primary(primary) = &mut self.phase else { return BTreeSet::new() };
        let waiting: BTreeSet<_> = primary.group.in_sync().collect();
        let reached: Vec<_> = primary.group.tracked().filter(|(copy, _)| waiting.contains(copy)).collect();
        for (copy, node) in reached {
            self.send_operations(step, (node, copy), Purpose::Write { refresh: false }, Vec::new());
        }
        waiting
    }

    /// A copy that a get waits for and that is on no node cannot answer: as for a write, the controller must take
    /// it out of the in-sync set.
    pub(super) fn report_unconfirmed(&mut self, step: &mut Step<'_, '_>) {
        let Phase::Primary(primary) = &self.phase else { return };
        let waiting = primary.gets.iter().flat_map(PendingGet::waiting);
        let untracked: BTreeSet<_> = waiting.filter(|copy| primary.group.channel(*copy).is_none()).collect();
        if untracked.is_empty() {
            return;
        }
        let reachable = self.reachable(step);
        for copy in untracked.difference(&reachable) {
            self.report_copy(step, *copy, "in sync, but on no node");
        }
    }

    /// Gives up the gets whose time is over.
    pub(super) fn gets_wake(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return };
        let gets = std::mem::take(&mut primary.gets).into_iter();
        let (over, open): (Vec<_>, Vec<_>) = gets.partition(|get| get.deadline <= now);
        primary.gets = open;
        over.into_iter().for_each(|get| get.refuse(step));
    }

    /// Answers the gets whose documents every in-sync copy has, and for which each of those has spoken.
    pub(super) fn answer_gets(&mut self, step: &mut Step<'_, '_>) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        if primary.gets.is_empty() || primary.is_resyncing() {
            return;
        }
        let reached = primary.group.global_checkpoint();
        let is_done = |get: &PendingGet| get.waiting.is_empty() && get.shown <= reached;
        let gets = std::mem::take(&mut primary.gets).into_iter();
        let (done, open): (Vec<_>, Vec<_>) = gets.partition(is_done);
        primary.gets = open;
        for PendingGet { token, doc, .. } in done {
            step.desk.news.push(ShardNews::Get { token, result: Ok(doc) });
        }
    }
}

//! Group refreshes — decides when all copies of a shard have made their operations searchable, because somebody asked
//! for it. It never fails a copy that does not.
//!
//! Elasticsearch's `TransportShardRefreshAction`: a refresh is replicated as a write is, to every copy that the primary
//! tracks, and not to those that the asking node knows of (#9421, #13068). A copy that is being built is not searched
//! yet, and shows what it has when it is.

use std::collections::BTreeMap;

use super::{Phase, Shard};
use crate::{
    core::Instant,
    name::{AllocationId, HostId, Term},
    search::shards::{Body, ShardNews, ShardRefusal, Step},
};

/// A refresh that not every copy has answered.
#[derive(Debug)]
pub(super) struct PendingRefresh {
    token: u64,
    /// Requests that are unanswered, and where they were sent.
    waiting: BTreeMap<u64, HostId>,
    successful: u32,
    total: u32,
    deadline: Instant,
}

impl PendingRefresh {
    /// When it ends with what it has.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends it: the copy is the primary no more.
    pub(super) fn refuse(self, step: &mut Step<'_, '_>) {
        let result = Err(ShardRefusal::NotHere { certain: true });
        step.desk.news.push(ShardNews::Refresh { token: self.token, result });
    }
}

impl Shard {
    /// Makes everything searchable here and on every tracked copy; ends in [`ShardNews::Refresh`].
    pub fn refresh_group(&mut self, step: &mut Step<'_, '_>, token: u64) {
        if !matches!(self.phase, Phase::Primary(_)) {
            let result = Err(ShardRefusal::NotHere { certain: true });
            return step.desk.news.push(ShardNews::Refresh { token, result });
        }
        if let Err(refusal) = self.refresh(step) {
            return step.desk.news.push(ShardNews::Refresh { token, result: Err(refusal) });
        }
        let deadline = step.request_deadline();
        let Phase::Primary(primary) = &mut self.phase else { return };
        let requests: Vec<_> = primary.group.tracked().map(|copy| (step.desk.draw(), copy)).collect();
        let waiting = requests.iter().map(|(request, (_, node))| (*request, *node)).collect();
        let total = 1 + requests.len() as u32;
        primary.refreshes.push(PendingRefresh { token, waiting, successful: 1, total, deadline });
        for (request, (copy, node)) in requests {
            step.send(node, self.message(copy, Body::Refresh { request }));
        }
        self.end_refreshes(step);
    }

    /// The primary of `term` wants everything here to be searchable: the next search will see it.
    pub(super) fn refresh_asked(
        &mut self,
        step: &mut Step<'_, '_>,
        from: (HostId, AllocationId),
        term: Term,
        request: u64,
    ) {
        let is_open = !matches!(self.phase, Phase::Closed | Phase::Deposed | Phase::Failed { .. });
        let body = match is_open {
            true if term < self.term => Body::Refused { request },
            true => {
                self.refresh_wanted = true;
                Body::Refreshed { request }
            }
            false => Body::Absent { request },
        };
        step.send(from.0, self.message(from.1, body));
    }

    /// A copy has answered: whether it has refreshed.
    pub(super) fn refresh_answered(&mut self, step: &mut Step<'_, '_>, request: u64, done: bool) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        for refresh in &mut primary.refreshes {
            if refresh.waiting.remove(&request).is_some() {
                refresh.successful += u32::from(done);
            }
        }
        self.end_refreshes(step);
    }

    /// The connection to a node broke: what its copies have not answered is not waited for.
    pub(super) fn refreshes_lost(&mut self, step: &mut Step<'_, '_>, node: HostId) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        primary.refreshes.iter_mut().for_each(|refresh| refresh.waiting.retain(|_, asked| *asked != node));
        self.end_refreshes(step);
    }

    /// Ends the refreshes whose time is over.
    pub(super) fn refreshes_wake(&mut self, step: &mut Step<'_, '_>) {
        let now = step.now();
        let Phase::Primary(primary) = &mut self.phase else { return };
        let over = primary.refreshes.iter_mut().filter(|refresh| refresh.deadline <= now);
        over.for_each(|refresh| refresh.waiting.clear());
        self.end_refreshes(step);
    }

    fn end_refreshes(&mut self, step: &mut Step<'_, '_>) {
        let Phase::Primary(primary) = &mut self.phase else { return };
        let done = primary.refreshes.extract_if(.., |refresh| refresh.waiting.is_empty());
        for PendingRefresh { token, successful, total, .. } in done {
            step.desk.news.push(ShardNews::Refresh { token, result: Ok((successful, total)) });
        }
    }
}

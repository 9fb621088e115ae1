//! Creation — decides what a client is told while an index is made and its shards become active. It never makes
//! one.

use std::time::Duration;

use super::{
    Outcome, error,
    flow::{Ending, Flow, Move},
};
use crate::{
    name::IndexName,
    search::{
        api::{
            ApiAnswer,
            admin::{ActiveShards, CreateIndexRequest, IndexCreated, TIMEOUT},
        },
        control::Granted,
        settings::Scope,
        state::ClusterState,
    },
};

/// The course of a create-index request: the controller makes it, then its shards are waited for.
#[derive(Debug)]
pub(super) struct CreateFlow {
    index: IndexName,
    wanted: Option<ActiveShards>,
    timeout: Duration,
    master_timeout: Duration,
    /// Whether every node has applied it.
    is_acknowledged: bool,
}

impl CreateFlow {
    /// Waits for this index.
    pub(super) fn new(request: &CreateIndexRequest) -> Self {
        Self {
            index: request.index.clone(),
            wanted: request.wait_for_active_shards,
            timeout: request.timeout.unwrap_or(TIMEOUT),
            master_timeout: request.master_timeout.unwrap_or(TIMEOUT),
            is_acknowledged: false,
        }
    }

    /// As `ActiveShardCount.enoughShardsActive`: an index that was deleted meanwhile is not waited for.
    fn is_active(&self, state: &ClusterState) -> bool {
        let Some(metadata) = state.indices.get(&self.index) else { return true };
        let by_setting = || {
            let settings = state.settings.of_index(&self.index);
            ActiveShards::read(settings.text(Scope::Index, "index.write.wait_for_active_shards"))
        };
        let wanted = self.wanted.or_else(by_setting).unwrap_or(ActiveShards::AtLeast(1));
        let copies = 1 + metadata.replicas as usize;
        metadata.shards.iter().all(|table| wanted.is_met(table.active().count(), copies))
    }

    fn end(&self, shards_acknowledged: bool) -> Ending {
        let (index, acknowledged) = (self.index.clone(), self.is_acknowledged);
        Ok(ApiAnswer::IndexCreated(IndexCreated { acknowledged, shards_acknowledged, index }))
    }
}

impl Flow for CreateFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn heard(&mut self, _part: u32, _outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn granted(&mut self, granted: Granted, state: &ClusterState) -> Vec<Move> {
        self.is_acknowledged = matches!(granted, Granted::Change { acknowledged: true });
        match self.is_acknowledged && !self.is_active(state) {
            true => vec![Move::Patience(self.timeout)],
            false => vec![Move::End(self.end(self.is_acknowledged))],
        }
    }

    fn state_applied(&mut self, state: &ClusterState) -> Vec<Move> {
        let is_done = self.is_acknowledged && self.is_active(state);
        is_done.then(|| Move::End(self.end(true))).into_iter().collect()
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.master_timeout + 2 * self.timeout)
    }

    fn timed_out(&mut self) -> Ending {
        if self.is_acknowledged { self.end(false) } else { Err(error::admin_timed_out()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::{Initializing, Started},
        search::fixture::{copy, state, table},
    };

    fn flow(wanted: Option<ActiveShards>) -> CreateFlow {
        let request = CreateIndexRequest::new("articles", 1, 1);
        CreateFlow::new(&CreateIndexRequest { wait_for_active_shards: wanted, ..request })
    }

    fn told(acknowledged: bool, shards_acknowledged: bool) -> Ending {
        let index = "articles".into();
        Ok(ApiAnswer::IndexCreated(IndexCreated { acknowledged, shards_acknowledged, index }))
    }

    fn granted(acknowledged: bool) -> Granted {
        Granted::Change { acknowledged }
    }

    #[test]
    fn created_index_is_waited_for_until_its_primaries_are_active() {
        let mut flow = flow(None);
        let building = state(1, vec![table(vec![copy(1, 1, true, Initializing)])]);
        assert_eq!(flow.granted(granted(true), &building), [Move::Patience(TIMEOUT)]);
        assert_eq!(flow.state_applied(&building), []);
        let started = state(2, vec![table(vec![copy(1, 1, true, Started)])]);
        assert_eq!(flow.state_applied(&started), [Move::End(told(true, true))]);
    }

    #[test]
    fn index_whose_shards_do_not_become_active_is_acknowledged_all_the_same() {
        let mut flow = flow(Some(ActiveShards::All));
        let started = state(2, vec![table(vec![copy(1, 1, true, Started)])]);
        assert_eq!(flow.granted(granted(true), &started), [Move::Patience(TIMEOUT)]);
        assert_eq!(flow.timed_out(), told(true, false));
    }

    #[test]
    fn index_that_is_not_acknowledged_is_not_waited_for() {
        let started = state(2, vec![table(vec![copy(1, 1, true, Started)])]);
        assert_eq!(flow(None).granted(granted(false), &started), [Move::End(told(false, false))]);
    }

    #[test]
    fn index_that_nobody_made_in_time_is_uncertain() {
        let error = flow(None).timed_out().unwrap_err();
        assert_eq!((error.status, error.certain), (503, false));
    }
}

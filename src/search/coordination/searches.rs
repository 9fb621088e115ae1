//! Searches — decides whether a search can begin, and which copies it turns to. It never waits.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    error,
    scatter::{SearchFlow, SearchPlan},
};
use crate::{
    name::{HostId, IndexName, ShardId},
    search::{
        api::{ApiError, SearchRequest},
        query::{self, SearchBody},
        routing::{
            self, Rotation,
            adaptive::{Outstanding, ResponseCollector},
            preference::Preference,
        },
        settings::Scope,
        state::{ClusterState, IndexMetadata},
    },
};

/// How a node chooses copies for searches.
#[derive(Debug)]
pub(super) struct Choice {
    /// Takes turns.
    pub(super) rotation: Rotation,
    /// What is known of the nodes.
    pub(super) responses: ResponseCollector,
}

impl Choice {
    /// The shards to search and the nodes to ask for each.
    fn copies(
        &mut self,
        state: &ClusterState,
        me: HostId,
        request: &SearchRequest,
        metadata: &IndexMetadata,
    ) -> Result<BTreeMap<u32, VecDeque<HostId>>, ApiError> {
        let preference = Preference::parse(request.preference.as_deref().unwrap_or_default())?;
        let is_adaptive =
            state.settings.cluster.flag(Scope::Cluster, "cluster.routing.use_adaptive_replica_selection");
        let mut outstanding = self.responses.outstanding();
        let mut shards = BTreeMap::new();
        for number in targets(metadata, request.routing.as_deref()) {
            if preference.includes(number) {
                let nodes =
                    self.nodes(&request.index, metadata, number, &preference, is_adaptive, &mut outstanding);
                shards.insert(number, preference.order(number, me, nodes)?);
            }
        }
        Ok(shards)
    }

    fn nodes(
        &mut self,
        index: &IndexName,
        metadata: &IndexMetadata,
        number: u32,
        preference: &Preference,
        is_adaptive: bool,
        outstanding: &mut Outstanding,
    ) -> VecDeque<HostId> {
        let shard = ShardId { index: index.clone(), number };
        let table = &metadata.shards[number as usize];
        if !preference.is_open() {
            return table.active().filter_map(|copy| copy.node).collect();
        }
        let turned = self.rotation.order(&shard, table);
        if is_adaptive { self.responses.order(turned, outstanding) } else { turned }
    }
}

/// The shards that may hold what is routed by these values; all of them if there are none.
fn targets(metadata: &IndexMetadata, routing: Option<&str>) -> BTreeSet<u32> {
    let shards = metadata.shards.len() as u32;
    match routing {
        None => (0..shards).collect(),
        Some(values) => values
            .split(',')
            .map(|value| routing::shard_number(value, metadata.routing_shards, shards))
            .collect(),
    }
}

/// Begins a search.
///
/// # Errors
///
/// If the request is malformed, asks for too much, or only of copies that do not exist.
pub(super) fn begin(
    state: &ClusterState,
    me: HostId,
    choice: &mut Choice,
    request: &SearchRequest,
) -> Result<SearchFlow, ApiError> {
    let metadata = state.indices.get(&request.index).ok_or_else(|| ApiError::no_index(&request.index))?;
    check(request)?;
    let body = query::read(&request.body).map_err(error::malformed)?;
    check_window(state, &request.index, &body)?;
    let shards = choice.copies(state, me, request, metadata)?;
    let cluster = &state.settings.cluster;
    let plan = SearchPlan {
        index: request.index.clone(),
        search_type: request.search_type,
        allow_partial: request
            .allow_partial_search_results
            .unwrap_or_else(|| cluster.flag(Scope::Cluster, "search.default_allow_partial_results")),
        concurrent: request.max_concurrent_shard_requests,
        batch: request.batched_reduce_size,
        timeout: body.timeout.or_else(|| cluster.span(Scope::Cluster, "search.default_search_timeout")),
        body: Arc::new(body),
    };
    Ok(SearchFlow::new(plan, shards))
}

fn check(request: &SearchRequest) -> Result<(), ApiError> {
    if request.max_concurrent_shard_requests == 0 {
        return Err(ApiError::illegal("maxConcurrentShardRequests must be >= 1"));
    }
    if request.batched_reduce_size < 2 {
        return Err(ApiError::illegal("batchedReduceSize must be >= 2"));
    }
    Ok(())
}

fn check_window(state: &ClusterState, index: &IndexName, body: &SearchBody) -> Result<(), ApiError> {
    let most = state.settings.of_index(index).integer(Scope::Index, "index.max_result_window");
    let asked = body.window();
    if asked as i64 > most {
        return Err(ApiError::illegal(format!(
            "Result window is too large, from + size must be less than or equal to: [{most}] but was [{asked}]. See the \
             scroll api for a more efficient way to request large data sets. This limit can be set by changing the \
             [index.max_result_window] index level setting."
        )));
    }
    Ok(())
}

//! Intake — decides whether a client's request can begin, and as which flow. It never waits.

use std::{collections::VecDeque, time::Duration};

use super::{
    View,
    create::CreateFlow,
    documents, error,
    flow::Flow,
    get::GetFlow,
    health,
    refresh::RefreshFlow,
    searches::{self, Choice},
    write::WriteFlow,
};
use crate::{
    name::{HostId, IndexName, ShardId},
    scenario::plan::ReadPolicy,
    search::{
        api::{ApiAnswer, ApiCall, ApiError, CreateIndexRequest, GetRequest, RefreshRequest},
        routing::{self, Rotation},
        shards::{ReadCall, WriteCall},
        state::{ClusterState, IndexMetadata},
    },
};

/// How a request begins.
#[derive(Debug)]
pub(super) enum Beginning {
    /// It has ended already.
    Answer(ApiAnswer),
    /// It takes its course.
    Flow(Box<dyn Flow>),
    /// The control part is asked for an index; the flow waits.
    Create(CreateCall, CreateFlow),
}

/// An index to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateCall {
    /// Its name.
    pub index: IndexName,
    /// number_of_shards.
    pub shards: u32,
    /// number_of_replicas.
    pub replicas: u32,
}

/// Begins a request by the node's own view. A node that is cut off from ZooKeeper refuses writes and goes on
/// serving reads from its last state (`no_master_block: write`).
pub(super) fn begin(
    view: View<'_>,
    me: HostId,
    choice: &mut Choice,
    policy: ReadPolicy,
    call: ApiCall,
) -> Result<Beginning, ApiError> {
    let rotation = &mut choice.rotation;
    let state: &ClusterState = view.state.ok_or_else(error::no_master)?;
    let flow: Box<dyn Flow> = match call {
        ApiCall::Health => return Ok(Beginning::Answer(health::of(state))),
        ApiCall::CreateIndex(request) => return create(view, request),
        ApiCall::Index(request) => {
            let index = request.index.clone();
            let id = request.id.clone().unwrap_or_default();
            let timeout = request.options.timeout;
            write(view, state, &index, timeout, documents::index(id, request)?)?
        }
        ApiCall::Delete(request) => {
            let index = request.index.clone();
            let timeout = request.options.timeout;
            write(view, state, &index, timeout, documents::delete(request)?)?
        }
        ApiCall::Get(GetRequest { index, id, realtime, refresh, routing }) => {
            let routed_by = routing.as_ref().unwrap_or(&id);
            let shard = routing::shard_of(&index, metadata(state, &index)?, routed_by);
            let copies = state.shard(&shard).map(|table| rotation.order(&shard, table));
            // What is searchable on one copy is nothing that copies agree on.
            let policy = if realtime { policy } else { ReadPolicy::Any };
            let call = ReadCall { id, realtime, refresh, policy };
            Box::new(GetFlow::new(shard, call, copies.unwrap_or_default()))
        }
        ApiCall::Refresh(RefreshRequest { index }) => {
            let shards = copies(rotation, &index, metadata(state, &index)?);
            Box::new(RefreshFlow::new(&index, shards))
        }
        ApiCall::Search(request) => Box::new(searches::begin(state, me, choice, &request)?),
    };
    Ok(Beginning::Flow(flow))
}

fn create(view: View<'_>, request: CreateIndexRequest) -> Result<Beginning, ApiError> {
    if !view.connected {
        return Err(error::no_master());
    }
    let CreateIndexRequest { index, shards, replicas } = request;
    let flow = CreateFlow::new(index.clone());
    Ok(Beginning::Create(CreateCall { index, shards, replicas }, flow))
}

fn write(
    view: View<'_>,
    state: &ClusterState,
    index: &IndexName,
    timeout: Option<Duration>,
    call: WriteCall,
) -> Result<Box<dyn Flow>, ApiError> {
    if !view.connected {
        return Err(error::no_master_block());
    }
    let routing = call.routing.as_deref().unwrap_or(&call.id);
    let shard = routing::shard_of(index, metadata(state, index)?, routing);
    Ok(Box::new(WriteFlow::new(shard, call, timeout)))
}

fn metadata<'a>(state: &'a ClusterState, index: &IndexName) -> Result<&'a IndexMetadata, ApiError> {
    state.indices.get(index).ok_or_else(|| error::no_index(index))
}

fn copies(rotation: &mut Rotation, index: &IndexName, metadata: &IndexMetadata) -> Vec<VecDeque<HostId>> {
    let shards = (0..).zip(&metadata.shards);
    shards.map(|(number, table)| rotation.order(&ShardId { index: index.clone(), number }, table)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::search::{
        api::{DeleteRequest, SearchRequest},
        fixture::{state, table},
        routing::adaptive::ResponseCollector,
    };

    const ME: HostId = HostId::search(1);

    fn choice() -> Choice {
        Choice { rotation: Rotation::default(), responses: ResponseCollector::default() }
    }

    fn refused(view: View<'_>, call: ApiCall) -> (u16, String, bool) {
        let error = begin(view, ME, &mut choice(), ReadPolicy::Any, call).unwrap_err();
        (error.status, error.kind.into_owned(), error.certain)
    }

    fn delete(index: &str, id: &str) -> ApiCall {
        ApiCall::Delete(DeleteRequest::new(index.into(), id))
    }

    fn search(size: u32) -> ApiCall {
        ApiCall::Search(SearchRequest::everything("articles".into(), size))
    }

    fn create() -> ApiCall {
        ApiCall::CreateIndex(CreateIndexRequest { index: "books".into(), shards: 1, replicas: 0 })
    }

    #[test]
    fn nothing_begins_before_a_first_state() {
        let view = View { state: None, connected: true, leased: true };
        for call in [delete("articles", "a"), search(1), create(), ApiCall::Health] {
            assert_eq!(refused(view, call), (503, "master_not_discovered_exception".to_owned(), true));
        }
    }

    #[test]
    fn node_cut_off_from_zookeeper_refuses_writes_and_serves_reads() {
        let state = Arc::new(state(1, vec![table(Vec::new())]));
        let view = View { state: Some(&state), connected: false, leased: false };
        let blocked = (503, "cluster_block_exception".to_owned(), true);
        assert_eq!(refused(view, delete("articles", "a")), blocked);
        assert_eq!(refused(view, create()), (503, "master_not_discovered_exception".to_owned(), true));
        assert!(begin(view, ME, &mut choice(), ReadPolicy::Any, search(1)).is_ok());
    }

    #[test]
    fn bad_requests_are_refused() {
        let state = Arc::new(state(1, vec![table(Vec::new())]));
        let view = View { state: Some(&state), connected: true, leased: true };
        let cases = [
            (delete("books", "a"), 404, "index_not_found_exception"),
            (delete("articles", ""), 400, "action_request_validation_exception"),
            (delete("articles", &"x".repeat(513)), 400, "action_request_validation_exception"),
            (search(10_001), 400, "illegal_argument_exception"),
        ];
        for (call, status, kind) in cases {
            assert_eq!(refused(view, call), (status, kind.to_owned(), true));
        }
        assert!(
            begin(view, ME, &mut choice(), ReadPolicy::Any, delete("articles", &"x".repeat(512))).is_ok()
        );
    }
}

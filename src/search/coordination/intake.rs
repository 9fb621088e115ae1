//! Intake — decides whether a client's request can begin, and as which flow. It never waits.

use std::{collections::VecDeque, time::Duration};

use super::{
    View,
    admin::{self, Petition},
    blocks::{self, Level},
    documents, error,
    flow::Flow,
    get::GetFlow,
    health::HealthFlow,
    refresh::RefreshFlow,
    scatter::SearchFlow,
    write::WriteFlow,
};
use crate::{
    name::{HostId, IndexName, IndexUuid, ShardId},
    scenario::plan::ReadPolicy,
    search::{
        administration::AdminTask,
        api::{ApiAnswer, ApiCall, ApiError, GetRequest, RefreshRequest, SearchRequest},
        control::{AdminCall, Inquiry},
        routing::{self, Rotation},
        shards::{ReadCall, WriteCall},
        state::{ClusterState, IndexMetadata},
    },
};

/// `index.max_result_window`.
const RESULT_WINDOW_MAX: u32 = 10_000;

/// How a request begins.
#[derive(Debug)]
pub(super) enum Beginning {
    /// It has ended already.
    Answer(ApiAnswer),
    /// It takes its course.
    Flow(Box<dyn Flow>),
    /// The controller is asked; the flow waits.
    Admin(AdminCall, Box<dyn Flow>),
}

/// What of the node itself a request may need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    /// Tasks that wait here, if this node is the controller.
    pub(super) pending_tasks: u32,
    /// An identity that no index has.
    pub(super) uuid: IndexUuid,
    /// Which copies answer a realtime get.
    pub(super) read_policy: ReadPolicy,
}

/// Begins a request by the node's own view. A node that is cut off from ZooKeeper refuses writes and goes on
/// serving reads from its last state (`no_master_block: write`).
pub(super) fn begin(
    view: View<'_>,
    rotation: &mut Rotation,
    own: Own,
    call: ApiCall,
) -> Result<Beginning, ApiError> {
    let state: &ClusterState = view.state.ok_or_else(error::no_master)?;
    let flow: Box<dyn Flow> = match call {
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
            let shard = routing::shard_of(&index, readable(state, &index)?, routed_by);
            let copies = state.shard(&shard).map(|table| rotation.order(&shard, table));
            // What is searchable on one copy is nothing that copies agree on.
            let policy = if realtime { own.read_policy } else { ReadPolicy::Any };
            let call = ReadCall { id, realtime, refresh, policy };
            Box::new(GetFlow::new(shard, call, copies.unwrap_or_default()))
        }
        ApiCall::Refresh(RefreshRequest { index }) => {
            let shards = copies(rotation, &index, metadata(state, &index)?);
            Box::new(RefreshFlow::new(&index, shards))
        }
        ApiCall::Search(SearchRequest { index, query, size }) => {
            let shards = copies(rotation, &index, readable(state, &index)?);
            Box::new(SearchFlow::new(index, query, window(size)?, shards))
        }
        administrative => return administer(view, state, own, administrative),
    };
    Ok(Beginning::Flow(flow))
}

/// Begins an administrative request.
fn administer(view: View<'_>, state: &ClusterState, own: Own, call: ApiCall) -> Result<Beginning, ApiError> {
    let (call, flow): Petition = match call {
        ApiCall::CreateIndex(request) => admin::create(view, request, own.uuid)?,
        ApiCall::DeleteIndex(request) => {
            let task = AdminTask::DeleteIndex { index: request.index };
            admin::change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::UpdateIndexSettings(request) => {
            let (index, changes) = (request.index, request.settings);
            let preserve_existing = request.preserve_existing;
            let task = AdminTask::IndexSettings { index, changes, preserve_existing };
            admin::change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::UpdateClusterSettings(request) => {
            let task = AdminTask::ClusterSettings { changes: request.persistent };
            admin::change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::Nodes(request) => admin::inquire(view, Inquiry::Nodes, request.master_timeout)?,
        ApiCall::PendingTasks(request) => {
            admin::inquire(view, Inquiry::PendingTasks, request.master_timeout)?
        }
        own_view => return look(view, state, own, own_view),
    };
    Ok(Beginning::Admin(call, flow))
}

/// Begins what the node answers by the state that it has applied.
fn look(view: View<'_>, state: &ClusterState, own: Own, call: ApiCall) -> Result<Beginning, ApiError> {
    match call {
        ApiCall::Health(request) => {
            let flow = HealthFlow::new(request, own.pending_tasks, state)?;
            Ok(Beginning::Flow(Box::new(flow)))
        }
        ApiCall::State(request) => admin::cluster_state(view, request).map(Beginning::Answer),
        ApiCall::GetIndexSettings(request) => admin::index_settings(state, request).map(Beginning::Answer),
        ApiCall::GetClusterSettings(request) => {
            Ok(Beginning::Answer(admin::cluster_settings(state, &request)))
        }
        other => unreachable!("{other:?} has begun elsewhere"),
    }
}

fn readable<'a>(state: &'a ClusterState, index: &IndexName) -> Result<&'a IndexMetadata, ApiError> {
    blocks::check(state, index, Level::Read)?;
    metadata(state, index)
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
    let metadata = metadata(state, index)?;
    blocks::check(state, index, Level::Write)?;
    let shard = routing::shard_of(index, metadata, routing);
    Ok(Box::new(WriteFlow::new(shard, call, timeout)))
}

fn metadata<'a>(state: &'a ClusterState, index: &IndexName) -> Result<&'a IndexMetadata, ApiError> {
    state.indices.get(index).ok_or_else(|| error::no_index(index))
}

fn window(size: u32) -> Result<u32, ApiError> {
    let too_large = || {
        let reason = "Result window is too large, from + size must be less than or equal to";
        ApiError::illegal(format!("{reason}: [{RESULT_WINDOW_MAX}] but was [{size}]"))
    };
    (size <= RESULT_WINDOW_MAX).then_some(size).ok_or_else(too_large)
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
        api::{CreateIndexRequest, DeleteRequest, Query},
        fixture::{state, table},
    };

    const OWN: Own = Own { pending_tasks: 0, uuid: IndexUuid(1), read_policy: ReadPolicy::Any };

    fn refused(view: View<'_>, call: ApiCall) -> (u16, String, bool) {
        let error = begin(view, &mut Rotation::default(), OWN, call).unwrap_err();
        (error.status, error.kind.into_owned(), error.certain)
    }

    fn delete(index: &str, id: &str) -> ApiCall {
        ApiCall::Delete(DeleteRequest::new(index.into(), id))
    }

    fn search(size: u32) -> ApiCall {
        ApiCall::Search(SearchRequest { index: "articles".into(), query: Query::MatchAll, size })
    }

    fn create() -> ApiCall {
        ApiCall::CreateIndex(CreateIndexRequest::new("books", 1, 0))
    }

    #[test]
    fn nothing_begins_before_a_first_state() {
        let view = View { state: None, connected: true, leased: true };
        for call in [delete("articles", "a"), search(1), create(), ApiCall::Health(Default::default())] {
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
        assert!(begin(view, &mut Rotation::default(), OWN, search(1)).is_ok());
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
        assert!(begin(view, &mut Rotation::default(), OWN, delete("articles", &"x".repeat(512))).is_ok());
    }
}

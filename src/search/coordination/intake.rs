//! Intake — decides whether a client's request can begin, and as which flow. It never waits.

use super::{
    View, admin,
    blocks::{self, Level},
    bulk::{BulkFlow, Item},
    documents, error,
    flow::Flow,
    get::GetFlow,
    ids::Ids,
    multi_get::MultiGetFlow,
    refresh::RefreshFlow,
    searches::{self, Choice},
    write::WriteFlow,
};
use crate::{
    name::{HostId, IndexName, ShardId},
    scenario::plan::ReadPolicy,
    search::{
        api::{
            ApiAnswer, ApiCall, ApiError, BulkAction, BulkWrite, DeleteRequest, GetRequest, IndexRequest,
            MultiGetRequest, OpType, RefreshRequest, UpdateRequest,
        },
        control::AdminCall,
        routing::{self, Rotation, preference::Preference},
        shards::{ReadCall, WriteCall},
        state::{ClusterState, IndexMetadata},
    },
};

/// What a node chooses by when requests begin.
#[derive(Debug)]
pub(super) struct Choices {
    /// Which copies are asked.
    pub(super) copies: Choice,
    /// What documents without an id are called.
    pub(super) ids: Ids,
    /// Which copies answer gets.
    pub(super) read_policy: ReadPolicy,
    /// Tasks that wait here, if this node is the controller.
    pub(super) pending_tasks: u32,
}

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

/// Begins a request by the node's own view. A node that is cut off from ZooKeeper refuses writes and goes on
/// serving reads from its last state (`no_master_block: write`).
pub(super) fn begin(
    view: View<'_>,
    me: HostId,
    choices: &mut Choices,
    call: ApiCall,
) -> Result<Beginning, ApiError> {
    let state: &ClusterState = view.state.ok_or_else(error::no_master)?;
    let Choices { copies: choice, ids, read_policy, .. } = choices;
    let rotation = &mut choice.rotation;
    let flow: Box<dyn Flow> = match call {
        ApiCall::Index(request) => Box::new(index(view, state, ids, request)?.1),
        ApiCall::Delete(request) => Box::new(delete(view, state, request)?),
        ApiCall::Update(request) => Box::new(update(view, state, request)?),
        ApiCall::Bulk(request) => {
            if !view.connected {
                return Err(error::no_master_block());
            }
            let items = request.items()?.into_iter().map(|write| item(view, state, ids, write));
            Box::new(BulkFlow::new(items.collect(), request.timeout))
        }
        ApiCall::Get(request) => Box::new(get(state, me, rotation, *read_policy, request)?),
        ApiCall::MultiGet(MultiGetRequest { items }) => {
            if items.is_empty() {
                return Err(ApiError::invalid(&["no documents to get"]));
            }
            let items = items.into_iter().map(|request| {
                let names = (request.index.clone(), request.id.clone());
                (names, get(state, me, rotation, *read_policy, request))
            });
            Box::new(MultiGetFlow::new(items.collect()))
        }
        ApiCall::Refresh(RefreshRequest { index }) => {
            Box::new(RefreshFlow::new(&index, metadata(state, &index)?.shards.len() as u32))
        }
        ApiCall::Search(request) => {
            readable(state, &request.index)?;
            Box::new(searches::begin(state, me, choice, &request)?)
        }
        administrative => return admin::begin(view, state, choices, administrative),
    };
    Ok(Beginning::Flow(flow))
}

fn get(
    state: &ClusterState,
    me: HostId,
    rotation: &mut Rotation,
    read_policy: ReadPolicy,
    request: GetRequest,
) -> Result<GetFlow, ApiError> {
    let GetRequest { index, id, realtime, refresh, routing, preference, source } = request;
    let shard = routing::shard_of(&index, readable(state, &index)?, routing.as_ref().unwrap_or(&id));
    let preference = Preference::parse(preference.as_deref().unwrap_or_default())?;
    let copies = state.shard(&shard).map(|table| rotation.order(&shard, table)).unwrap_or_default();
    let copies = preference.order(shard.number, me, copies)?;
    // What is searchable on one copy is nothing that copies agree on.
    let policy = if realtime { read_policy } else { ReadPolicy::Any };
    let call = ReadCall { id, realtime, refresh, policy };
    Ok(GetFlow::new(shard, call, copies).showing(source))
}

// Also gives the id, drawn or not.
fn index(
    view: View<'_>,
    state: &ClusterState,
    ids: &mut Ids,
    mut request: IndexRequest,
) -> Result<(String, WriteFlow), ApiError> {
    let (index, timeout) = (request.index.clone(), request.options.timeout);
    let Some(id) = request.id.take() else {
        documents::check_without_id(&request.options)?;
        let id = ids.draw();
        let (shard, call) = routed(view, state, &index, documents::index(id.clone(), request)?)?;
        return Ok((id, WriteFlow::of_drawn_id(shard, call, timeout)));
    };
    let (shard, call) = routed(view, state, &index, documents::index(id.clone(), request)?)?;
    Ok((id, WriteFlow::new(shard, call, timeout)))
}

fn delete(view: View<'_>, state: &ClusterState, request: DeleteRequest) -> Result<WriteFlow, ApiError> {
    let (index, timeout) = (request.index.clone(), request.options.timeout);
    let (shard, call) = routed(view, state, &index, documents::delete(request)?)?;
    Ok(WriteFlow::new(shard, call, timeout))
}

fn update(view: View<'_>, state: &ClusterState, request: UpdateRequest) -> Result<WriteFlow, ApiError> {
    let (index, timeout) = (request.index.clone(), request.options.timeout);
    let (shard, call) = routed(view, state, &index, documents::update(request)?)?;
    Ok(WriteFlow::new(shard, call, timeout))
}

fn item(view: View<'_>, state: &ClusterState, ids: &mut Ids, write: BulkWrite) -> Item {
    match write {
        BulkWrite::Index(request) => {
            let creates = request.op_type == OpType::Create;
            let action = if creates { BulkAction::Create } else { BulkAction::Index };
            let (name, given) = (request.index.clone(), request.id.clone().unwrap_or_default());
            match index(view, state, ids, request) {
                Ok((id, flow)) => Item::new(action, (name, id), Ok(flow)),
                Err(error) => Item::new(action, (name, given), Err(error)),
            }
        }
        BulkWrite::Update(request) => {
            let names = (request.index.clone(), request.id.clone());
            Item::new(BulkAction::Update, names, update(view, state, request))
        }
        BulkWrite::Delete(request) => {
            let names = (request.index.clone(), request.id.clone());
            Item::new(BulkAction::Delete, names, delete(view, state, request))
        }
    }
}

fn routed(
    view: View<'_>,
    state: &ClusterState,
    index: &IndexName,
    call: WriteCall,
) -> Result<(ShardId, WriteCall), ApiError> {
    if !view.connected {
        return Err(error::no_master_block());
    }
    let metadata = metadata(state, index)?;
    blocks::check(state, index, Level::Write)?;
    let routing = call.routing.as_deref().unwrap_or(&call.id);
    Ok((routing::shard_of(index, metadata, routing), call))
}

fn readable<'a>(state: &'a ClusterState, index: &IndexName) -> Result<&'a IndexMetadata, ApiError> {
    blocks::check(state, index, Level::Read)?;
    metadata(state, index)
}

fn metadata<'a>(state: &'a ClusterState, index: &IndexName) -> Result<&'a IndexMetadata, ApiError> {
    state.indices.get(index).ok_or_else(|| ApiError::no_index(index))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::Entropy;
    use crate::search::{
        api::{CreateIndexRequest, SearchRequest},
        fixture::{state, table},
        routing::adaptive::ResponseCollector,
    };

    const ME: HostId = HostId::search(1);

    fn refused(view: View<'_>, call: ApiCall) -> (u16, String, bool) {
        let error = begin(view, ME, &mut choices(), call).unwrap_err();
        (error.status, error.kind.into_owned(), error.certain)
    }

    fn choices() -> Choices {
        let (rotation, responses) = (Rotation::default(), ResponseCollector::default());
        let (copies, ids) = (Choice { rotation, responses }, Ids(Entropy::new(1)));
        Choices { copies, ids, read_policy: ReadPolicy::Any, pending_tasks: 0 }
    }

    fn delete(index: &str, id: &str) -> ApiCall {
        ApiCall::Delete(DeleteRequest::new(index.into(), id))
    }

    fn search(size: u32) -> ApiCall {
        ApiCall::Search(SearchRequest::everything("articles".into(), size))
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
        assert!(begin(view, ME, &mut choices(), search(1)).is_ok());
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
        assert!(begin(view, ME, &mut choices(), delete("articles", &"x".repeat(512))).is_ok());
    }
}

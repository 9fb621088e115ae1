//! Administration — decides how administrative requests travel: which the controller is asked, and which the node
//! answers by the state it has applied. It never carries one out.

use std::time::Duration;

use super::{
    Outcome, View, cat,
    create::CreateFlow,
    error,
    flow::{Ending, Flow, Move},
    health::HealthFlow,
    intake::{Beginning, Choices},
};
use crate::{
    name::IndexUuid,
    search::{
        administration::AdminTask,
        api::{
            ApiAnswer, ApiCall, ApiError,
            admin::{
                Acknowledged, ClusterSettings, ClusterStateView, CreateIndexRequest,
                GetClusterSettingsRequest, GetIndexSettingsRequest, IndexSettings, StateRequest, TIMEOUT,
            },
        },
        control::{AdminCall, Granted, Inquiry},
        petitions::Wanted,
        settings::Settings,
        state::ClusterState,
    },
};

/// What the controller is asked, and the course of the request meanwhile.
type Petition = (AdminCall, Box<dyn Flow>);

/// Begins an administrative request.
pub(super) fn begin(
    view: View<'_>,
    state: &ClusterState,
    choices: &mut Choices,
    call: ApiCall,
) -> Result<Beginning, ApiError> {
    let (call, flow): Petition = match call {
        ApiCall::CreateIndex(request) => create(view, request, IndexUuid(choices.ids.0.draw()))?,
        ApiCall::DeleteIndex(request) => {
            let task = AdminTask::DeleteIndex { index: request.index };
            change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::UpdateIndexSettings(request) => {
            let (index, changes) = (request.index, request.settings);
            let preserve_existing = request.preserve_existing;
            let task = AdminTask::IndexSettings { index, changes, preserve_existing };
            change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::UpdateClusterSettings(request) => {
            let task = AdminTask::ClusterSettings { changes: request.persistent };
            change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::Reroute(request) if request.dry_run => {
            inquire(view, Inquiry::DryRun(request.orders), request.master_timeout)?
        }
        ApiCall::Reroute(request) => {
            let task = AdminTask::Reroute(request.orders);
            change(view, task, [request.timeout, request.master_timeout])?
        }
        ApiCall::AllocationExplain(request) => {
            inquire(view, Inquiry::Explain(request.subject), request.master_timeout)?
        }
        ApiCall::Nodes(request) => inquire(view, Inquiry::Nodes, request.master_timeout)?,
        ApiCall::PendingTasks(request) => inquire(view, Inquiry::PendingTasks, request.master_timeout)?,
        own_view => return look(view, state, choices, own_view),
    };
    Ok(Beginning::Admin(call, flow))
}

/// Begins what the node answers by the state that it has applied.
fn look(
    view: View<'_>,
    state: &ClusterState,
    choices: &Choices,
    call: ApiCall,
) -> Result<Beginning, ApiError> {
    match call {
        ApiCall::Health(request) => {
            let flow = HealthFlow::new(request, choices.pending_tasks, state)?;
            Ok(Beginning::Flow(Box::new(flow)))
        }
        ApiCall::Cat(request) => {
            let text = cat::text(state, &request, choices.pending_tasks);
            Ok(Beginning::Answer(ApiAnswer::Cat(text)))
        }
        ApiCall::State(request) => cluster_state(view, request).map(Beginning::Answer),
        ApiCall::GetIndexSettings(request) => index_settings(state, request).map(Beginning::Answer),
        ApiCall::GetClusterSettings(request) => Ok(Beginning::Answer(cluster_settings(state, &request))),
        other => unreachable!("{other:?} has begun elsewhere"),
    }
}

/// A change that is answered when every node has applied it. A node that is cut off from ZooKeeper asks nobody.
fn change(
    view: View<'_>,
    task: AdminTask,
    [timeout, master_timeout]: [Option<Duration>; 2],
) -> Result<Petition, ApiError> {
    let persistent = match &task {
        AdminTask::ClusterSettings { changes } => {
            let set = changes.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            Some(Settings(set.collect()))
        }
        _ => None,
    };
    let timeout = timeout.unwrap_or(TIMEOUT);
    let flow = AdminFlow { persistent, timeout };
    petition(view, Wanted::Change { task, timeout }, master_timeout, Box::new(flow))
}

/// An index to be made. It gets its identity here, so that asking for it twice makes one index.
fn create(view: View<'_>, request: CreateIndexRequest, uuid: IndexUuid) -> Result<Petition, ApiError> {
    let flow = Box::new(CreateFlow::new(&request));
    let CreateIndexRequest { index, settings, timeout, master_timeout, .. } = request;
    let task = AdminTask::CreateIndex { index, uuid, settings };
    let timeout = timeout.unwrap_or(TIMEOUT);
    petition(view, Wanted::Change { task, timeout }, master_timeout, flow)
}

/// Something that only the controller knows.
fn inquire(view: View<'_>, inquiry: Inquiry, master_timeout: Option<Duration>) -> Result<Petition, ApiError> {
    let flow = AdminFlow { persistent: None, timeout: Duration::ZERO };
    petition(view, Wanted::Knowledge(inquiry), master_timeout, Box::new(flow))
}

fn petition(
    view: View<'_>,
    what: Wanted,
    master_timeout: Option<Duration>,
    flow: Box<dyn Flow>,
) -> Result<Petition, ApiError> {
    if !view.connected {
        return Err(error::no_master());
    }
    Ok((AdminCall { what, master_timeout: master_timeout.unwrap_or(TIMEOUT) }, flow))
}

/// Settings of indices, with what stands in their metadata.
fn index_settings(state: &ClusterState, request: GetIndexSettingsRequest) -> Result<ApiAnswer, ApiError> {
    let GetIndexSettingsRequest { index, include_defaults } = request;
    if let Some(missing) = index.as_ref().filter(|index| !state.indices.contains_key(index)) {
        return Err(ApiError::no_index(missing));
    }
    let wanted = state.indices.iter().filter(|(name, _)| index.as_ref().is_none_or(|index| index == *name));
    let told =
        wanted.map(|(name, metadata)| (name.clone(), metadata.settings(state.settings.of_index(name))));
    Ok(ApiAnswer::IndexSettings(IndexSettings { indices: told.collect(), include_defaults }))
}

/// Settings of the cluster.
fn cluster_settings(state: &ClusterState, request: &GetClusterSettingsRequest) -> ApiAnswer {
    ApiAnswer::ClusterSettings(ClusterSettings {
        acknowledged: None,
        persistent: state.settings.cluster.clone(),
        include_defaults: request.include_defaults,
    })
}

/// The state that this node has applied.
fn cluster_state(view: View<'_>, request: StateRequest) -> Result<ApiAnswer, ApiError> {
    let state = view.state.ok_or_else(error::no_master)?.clone();
    if let Some(missing) = request.index.as_ref().filter(|index| !state.indices.contains_key(index)) {
        return Err(ApiError::no_index(missing));
    }
    Ok(ApiAnswer::State(ClusterStateView { state, request }))
}

/// The course of a request that the controller answers.
#[derive(Debug)]
struct AdminFlow {
    /// Of a change of the cluster's settings: what it sets.
    persistent: Option<Settings>,
    timeout: Duration,
}

impl Flow for AdminFlow {
    fn begin(&mut self, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn heard(&mut self, _part: u32, _outcome: Outcome, _state: &ClusterState) -> Vec<Move> {
        Vec::new()
    }

    fn granted(&mut self, granted: Granted, _state: &ClusterState) -> Vec<Move> {
        let answer = match (granted, self.persistent.take()) {
            (Granted::Change { acknowledged }, None) => {
                ApiAnswer::Acknowledged(Acknowledged { acknowledged })
            }
            (Granted::Change { acknowledged }, Some(persistent)) => {
                let (acknowledged, include_defaults) = (Some(acknowledged), false);
                ApiAnswer::ClusterSettings(ClusterSettings { acknowledged, persistent, include_defaults })
            }
            (Granted::Nodes(nodes), _) => ApiAnswer::Nodes(nodes),
            (Granted::PendingTasks(tasks), _) => ApiAnswer::PendingTasks(tasks),
            (Granted::Rerouted(rerouted), _) => ApiAnswer::Rerouted(rerouted),
            (Granted::Explained(explanation), _) => ApiAnswer::AllocationExplained(explanation),
        };
        vec![Move::End(Ok(answer))]
    }

    /// What waits for the controller has its own deadlines, before this one.
    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_secs(3_600) + self.timeout)
    }

    fn timed_out(&mut self) -> Ending {
        Err(error::admin_timed_out())
    }
}

//! Operator — decides how settings, indices and administrative steps are asked for: of node after node, again
//! until one says that it is done or will not be. It never touches documents.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    event::{EventKind, Outcome},
    name::{HostId, IndexName},
    scenario::{
        plan::{IndexPlan, Plan},
        steps::StepAction,
        values::Values,
    },
    search::api::{
        ApiCall, ApiError, CreateIndexRequest,
        admin::{DeleteIndexRequest, UpdateClusterSettingsRequest, UpdateIndexSettingsRequest},
    },
    sim::client::{CallError, Client},
};

/// How long it waits before it asks the next node.
const PAUSE: Duration = Duration::from_millis(200);

/// A planned step that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number in the plan.
    pub step: u32,
    /// The hosts that its selector means now.
    pub hosts: Vec<HostId>,
}

/// The operator's work: the plan's settings and indices, then its steps as they come.
pub async fn run(client: &Client, plan: &Plan) {
    let mut operator = Operator { client, plan, indices: BTreeMap::new() };
    if !plan.settings.0.is_empty() {
        let _ = operator.insist(cluster_settings(&plan.settings)).await;
    }
    for index in &plan.indices {
        let _ = operator.insist(operator.create(index)).await;
        operator.indices.insert(index.name.clone(), (index.shards, index.replicas));
    }
    loop {
        let task = client.task().await;
        operator.carry_out(&task).await;
    }
}

struct Operator<'a> {
    client: &'a Client,
    plan: &'a Plan,
    /// Shards and replicas of each index that is there.
    indices: BTreeMap<IndexName, (u32, u32)>,
}

impl Operator<'_> {
    async fn carry_out(&mut self, task: &Task) {
        let action = &self.plan.steps[task.step as usize].action;
        let answer = match self.call(action, &task.hosts) {
            Some(call) => self.insist(call).await,
            None => Err(CallError::NotSent),
        };
        let (outcome, error) = match answer {
            Ok(()) => (Outcome::Ok, None),
            Err(CallError::Refused(error)) if error.certain => (Outcome::Failed, Some(error.to_string())),
            Err(error) => (Outcome::Unknown, Some(error.to_string())),
        };
        let before = self.copies();
        if outcome == Outcome::Ok {
            self.follow(action);
        }
        let copies = Some(self.copies()).filter(|copies| *copies != before);
        let (step, what) = (task.step, action.to_string());
        self.client.record(EventKind::StepEnded { step, what, outcome, error, copies });
    }

    /// Asks node after node until it is done, surely will not be, or the run is over.
    async fn insist(&self, call: ApiCall) -> Result<(), CallError> {
        let mut last = Err(CallError::NotSent);
        for node in self.plan.nodes.iter().cycle() {
            last = self
                .client
                .call(node.host, call.clone(), 2 * self.plan.search.request_timeout)
                .await
                .map(drop);
            match &last {
                Ok(()) => break,
                Err(CallError::Refused(error)) if is_done(&call, error) => return Ok(()),
                Err(CallError::Refused(error)) if is_final(error) => break,
                Err(_) if self.client.is_over() => break,
                Err(_) => self.client.sleep(PAUSE).await,
            }
        }
        last
    }

    /// The call for a step; none if it is not the search cluster that is asked.
    fn call(&self, action: &StepAction, hosts: &[HostId]) -> Option<ApiCall> {
        Some(match action {
            StepAction::UpdateClusterSettings { settings } => cluster_settings(settings),
            StepAction::UpdateIndexSettings { index, settings } => {
                ApiCall::UpdateIndexSettings(UpdateIndexSettingsRequest {
                    index: index.clone(),
                    settings: settings.changes(),
                    preserve_existing: false,
                    timeout: None,
                    master_timeout: None,
                })
            }
            StepAction::CreateIndex { index } => self.create(index),
            StepAction::DeleteIndex { index } => {
                let (index, timeout, master_timeout) = (index.clone(), None, None);
                ApiCall::DeleteIndex(DeleteIndexRequest { index, timeout, master_timeout })
            }
            StepAction::Drain { .. } => {
                let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
                let name = "cluster.routing.allocation.exclude._name".to_owned();
                let persistent = [(name, Some(names.join(",")))].into();
                ApiCall::UpdateClusterSettings(UpdateClusterSettingsRequest {
                    persistent,
                    ..Default::default()
                })
            }
            StepAction::CorruptState => return None,
        })
    }

    fn create(&self, index: &IndexPlan) -> ApiCall {
        let IndexPlan { name, shards, replicas, settings } = index.clone();
        let mut request = CreateIndexRequest::new(name, shards, replicas);
        request.settings.extend(settings.0);
        ApiCall::CreateIndex(request)
    }

    /// What a step that was done changed in the number of copies.
    fn follow(&mut self, action: &StepAction) {
        match action {
            StepAction::CreateIndex { index } => {
                self.indices.insert(index.name.clone(), (index.shards, index.replicas));
            }
            StepAction::DeleteIndex { index } => drop(self.indices.remove(index)),
            StepAction::UpdateIndexSettings { index, settings } => {
                let replicas = settings.0.get("index.number_of_replicas").and_then(|text| text.parse().ok());
                if let Some((replicas, held)) = replicas.zip(self.indices.get_mut(index)) {
                    held.1 = replicas;
                }
            }
            _ => {}
        }
    }

    fn copies(&self) -> u32 {
        self.indices.values().map(|(shards, replicas)| shards * (1 + replicas)).sum()
    }
}

fn cluster_settings(values: &Values) -> ApiCall {
    let persistent = values.changes();
    ApiCall::UpdateClusterSettings(UpdateClusterSettingsRequest { persistent, ..Default::default() })
}

/// Whether an error says that the thing asked for holds: an earlier attempt did it whose answer was lost.
fn is_done(call: &ApiCall, error: &ApiError) -> bool {
    match call {
        ApiCall::CreateIndex(_) => error.kind == "resource_already_exists_exception",
        ApiCall::DeleteIndex(_) => error.kind == "index_not_found_exception",
        _ => false,
    }
}

/// Whether asking again will not help.
fn is_final(error: &ApiError) -> bool {
    error.certain && error.status == 400
}

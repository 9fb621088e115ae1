//! Operator — decides how settings, indices and administrative steps are asked for: of node after node, again
//! until one says that it is done or will not be. It never touches documents.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    event::{EventKind, Outcome},
    name::{HostId, IndexName},
    scenario::{
        plan::{IndexPlan, Plan},
        steps::{Reroute, StepAction},
        values::Values,
    },
    search::api::{
        ApiCall, ApiError,
        admin::{
            CreateIndexRequest, DeleteIndexRequest, Orders, RerouteRequest, UpdateClusterSettingsRequest,
            UpdateIndexSettingsRequest,
        },
    },
    sim::client::{CallError, Client},
    workload::{history::failure, orders::orders},
};

/// How long it waits before it asks the next node.
const PAUSE: Duration = Duration::from_millis(200);

/// The setting that keeps copies off nodes, by their names.
const EXCLUDED: &str = "cluster.routing.allocation.exclude._name";

/// A planned step that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number in the plan.
    pub step: u32,
    /// The hosts that its selector means now.
    pub hosts: Vec<HostId>,
}

/// How something that was asked for ended; why, if it was not done.
type Ending = (Outcome, Option<String>);

/// The operator's work: the plan's settings and indices, then its steps as they come.
pub async fn run(client: &Client, plan: &Plan) {
    let sizes = plan.indices.iter().map(|index| (index.name.clone(), (index.shards, index.replicas)));
    let mut operator = Operator { client, plan, indices: sizes.collect() };
    operator.set_up().await;
    loop {
        let task = client.task().await;
        operator.carry_out(&task).await;
    }
}

struct Operator<'a> {
    client: &'a Client,
    plan: &'a Plan,
    /// Shards and replicas of each index that is to be there.
    indices: BTreeMap<IndexName, (u32, u32)>,
}

impl Operator<'_> {
    async fn set_up(&mut self) {
        if !self.plan.settings.is_empty() {
            let ending = self.insist(self.cluster_settings(&self.plan.settings)).await;
            self.note_setup("cluster settings", ending);
        }
        for index in &self.plan.indices {
            let ending = self.insist(self.create(index)).await;
            if ending.0 == Outcome::Failed {
                self.indices.remove(&index.name);
            }
            self.note_setup(&format!("index {}", index.name), ending);
        }
    }

    fn note_setup(&self, what: &str, (outcome, error): Ending) {
        if let Some(error) = error {
            let (what, copies) = (what.to_owned(), self.copies());
            self.client.record(EventKind::SetupFailed { what, outcome, error, copies });
        }
    }

    async fn carry_out(&mut self, task: &Task) {
        let action = &self.plan.steps[task.step as usize].action;
        let (outcome, error) = match self.call(action, &task.hosts) {
            Ok(Some(call)) => self.insist(call).await,
            Ok(None) => (Outcome::Ok, None),
            Err(why) => (Outcome::Failed, Some(why)),
        };
        let before = self.copies();
        if outcome == Outcome::Ok {
            self.follow(action);
        }
        let copies = Some(self.copies()).filter(|copies| *copies != before);
        let (step, what) = (task.step, action.to_string());
        self.client.record(EventKind::StepEnded { step, what, outcome, error, copies });
    }

    /// Asks node after node until it is done, surely will not be, or the run is over. It is refused for certain only if
    /// no node was asked before whose answer is not known: the controller may do it long after that.
    async fn insist(&self, call: ApiCall) -> Ending {
        let mut is_unsure = false;
        let mut why = CallError::NotSent.to_string();
        for node in self.plan.nodes.iter().cycle() {
            let patience = 2 * self.plan.search.request_timeout;
            let is_final = match self.client.call(node.host, call.clone(), patience).await {
                Ok(_) => return (Outcome::Ok, None),
                Err(CallError::Refused(error)) if is_done(&call, &error) => return (Outcome::Ok, None),
                Err(error) => {
                    is_unsure |= failure(&error).0 == Outcome::Unknown;
                    why = error.to_string();
                    is_final(&error)
                }
            };
            if is_final || self.client.is_over() {
                break;
            }
            self.client.sleep(PAUSE).await;
        }
        (if is_unsure { Outcome::Unknown } else { Outcome::Failed }, Some(why))
    }

    /// The call for a step; none if it is nothing to the search cluster.
    fn call(&self, action: &StepAction, hosts: &[HostId]) -> Result<Option<ApiCall>, String> {
        Ok(match action {
            StepAction::UpdateClusterSettings { settings } => Some(self.cluster_settings(settings)),
            StepAction::UpdateIndexSettings { index, settings } => {
                Some(ApiCall::UpdateIndexSettings(UpdateIndexSettingsRequest {
                    index: index.clone(),
                    settings: settings.changes(),
                    preserve_existing: false,
                    timeout: self.patience(),
                    master_timeout: self.patience(),
                }))
            }
            StepAction::CreateIndex { index } => Some(self.create(index)),
            StepAction::DeleteIndex { index } => Some(ApiCall::DeleteIndex(DeleteIndexRequest {
                index: index.clone(),
                timeout: self.patience(),
                master_timeout: self.patience(),
            })),
            StepAction::Drain { .. } => {
                let names: Vec<_> = hosts.iter().map(ToString::to_string).collect();
                Some(self.cluster_settings(&Values([(EXCLUDED.to_owned(), names.join(","))].into())))
            }
            StepAction::Reroute { orders: reroute } => {
                let Reroute { dry_run, explain, retry_failed, .. } = *reroute;
                Some(ApiCall::Reroute(RerouteRequest {
                    orders: Orders { commands: orders(reroute, hosts)?, explain, retry_failed },
                    dry_run,
                    timeout: self.patience(),
                    master_timeout: self.patience(),
                }))
            }
            StepAction::CorruptState => None,
        })
    }

    fn cluster_settings(&self, settings: &Values) -> ApiCall {
        ApiCall::UpdateClusterSettings(UpdateClusterSettingsRequest {
            persistent: settings.changes(),
            timeout: self.patience(),
            master_timeout: self.patience(),
        })
    }

    fn create(&self, index: &IndexPlan) -> ApiCall {
        let mut request = CreateIndexRequest::new(index.name.clone(), index.shards, index.replicas);
        request.settings.extend(index.settings.0.clone());
        (request.timeout, request.master_timeout) = (self.patience(), self.patience());
        ApiCall::CreateIndex(request)
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.plan.search.request_timeout)
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

/// Whether an error says that the thing asked for holds: an earlier attempt did it whose answer was lost.
fn is_done(call: &ApiCall, error: &ApiError) -> bool {
    match call {
        ApiCall::CreateIndex(_) => error.kind == "resource_already_exists_exception",
        ApiCall::DeleteIndex(_) => error.kind == "index_not_found_exception",
        _ => false,
    }
}

/// Whether asking again will not help.
fn is_final(error: &CallError) -> bool {
    matches!(error, CallError::Refused(error) if error.certain && error.status == 400)
}

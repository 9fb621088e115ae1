//! Documents — decides how the client of a workload asks its requests. It never retries on its own account: each is
//! asked once and its outcome recorded, so that the history says exactly what clients know. (A document without an
//! id that is sent once more, `again`, is another request.)

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use madsim::task::spawn_local;

use super::{
    arrivals::operations,
    history::{self, Asked, Source},
    queries::SIZE,
    sources::{self, Making},
};
use crate::{
    event::DocOp,
    name::{IndexName, SeqNo, SimTime, Term},
    scenario::{
        dice::DOCUMENT,
        operations::{Ask, Operation, REMEMBERED},
        plan::{Plan, WorkloadPlan},
    },
    search::api::{
        ActiveShards, ApiAnswer, ApiCall, DeleteRequest, GetAnswer, GetRequest, IndexRequest, OpType,
        RefreshPolicy, SearchRequest, SearchType, UpdateRequest, VersionType, WriteOptions,
    },
    sim::{
        client::{CallError, Client},
        dice::Die,
    },
};

/// Routings that documents are sent with.
const ROUTINGS: u64 = 16;

/// Answers about a document that a client remembers.
const REMEMBERED_MAX: usize = 4;

/// One workload under way. Cheap to clone.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) plan: Arc<WorkloadPlan>,
    /// By document: number and term of the operations that its last answers told of.
    known: Rc<RefCell<Known>>,
}

type Known = BTreeMap<String, VecDeque<(SeqNo, Term)>>;

/// Runs workload number `nth` of the plan until the world says that it is over.
///
/// A client that comes back after a crash does not ask what it would have asked while it was away.
pub async fn run(client: &Client, plan: &Plan, nth: usize) {
    let (workload, known) = (Arc::new(plan.workloads[nth].clone()), Rc::default());
    let stream = Stream { client: client.clone(), plan: workload, known };
    let missed = if client.is_in_first_life() { Duration::ZERO } else { client.now().since_start() };
    for operation in operations(plan, client.dice(), client.host(), nth).skip_while(|one| one.at < missed) {
        client.sleep_until(SimTime::from(operation.at)).await;
        if client.is_over() {
            return;
        }
        spawn_local(stream.clone().ask(operation));
    }
}

impl Stream {
    async fn ask(self, operation: Operation) {
        match operation.ask {
            Ask::Index => self.index(&operation, DocOp::Index).await,
            Ask::Create => self.index(&operation, DocOp::Create).await,
            Ask::Cas => self.change(&operation).await,
            Ask::External => self.index(&operation, DocOp::External { version: version(&operation) }).await,
            Ask::ExternalGte => {
                self.index(&operation, DocOp::ExternalGte { version: version(&operation) }).await;
            }
            Ask::Update => self.update(&operation).await,
            Ask::Add => self.add(&operation).await,
            Ask::Delete => self.delete(&operation).await,
            Ask::Bulk => self.bulk(&operation).await,
            Ask::Get => drop(self.get(&operation).await),
            Ask::Mget => self.several(&operation).await,
            Ask::Search => self.search(&operation).await,
        }
    }

    async fn get(&self, operation: &Operation) -> Result<ApiAnswer, CallError> {
        let routing = self.routing(&operation.document);
        let call = GetRequest { routing, ..GetRequest::new(self.index_name(), &*operation.document) };
        self.document(operation, operation.request(), (DocOp::Get, None), ApiCall::Get(call)).await
    }

    async fn delete(&self, operation: &Operation) {
        let options = self.write_options(operation);
        let call = DeleteRequest { options, ..DeleteRequest::new(self.index_name(), &*operation.document) };
        let asked = (DocOp::Delete, None);
        let _ = self.document(operation, operation.request(), asked, ApiCall::Delete(call)).await;
    }

    /// Get, change, and index unless somebody else was faster; or count on what an answer told before.
    async fn change(&self, operation: &Operation) {
        if let Some((seq_no, term)) = self.remembered(operation) {
            return self.index(operation, DocOp::Cas { seq_no, term }).await;
        }
        let Ok(ApiAnswer::Got(GetAnswer { doc, .. })) = self.get(operation).await else { return };
        let op = doc.map_or(DocOp::Create, |doc| DocOp::Cas { seq_no: doc.seq_no, term: doc.term });
        self.index(operation, op).await;
    }

    fn remembered(&self, operation: &Operation) -> Option<(SeqNo, Term)> {
        let known = self.known.borrow();
        let known = known.get(&operation.document).filter(|_| operation.has(REMEMBERED))?;
        known.get(operation.number as usize % known.len()).copied()
    }

    fn remember(&self, answer: &ApiAnswer) {
        let (id, last) = match answer {
            ApiAnswer::Got(GetAnswer { id, doc: Some(doc), .. }) => (id, (doc.seq_no, doc.term)),
            ApiAnswer::Written(answer) => (&answer.id, (answer.seq_no, answer.term)),
            _ => return,
        };
        let mut known = self.known.borrow_mut();
        let known = known.entry(id.clone()).or_default();
        if !known.contains(&last) {
            known.push_back(last);
        }
        if known.len() > REMEMBERED_MAX {
            known.pop_front();
        }
    }

    /// An operation that gets first has used its first request for that.
    async fn index(&self, operation: &Operation, op: DocOp) {
        let request = operation.request() + u64::from(operation.ask == Ask::Cas);
        let source = self.source(operation);
        let call = IndexRequest {
            options: self.write_options(operation),
            ..IndexRequest::new(self.index_name(), &*operation.document, source.text.clone().into())
        };
        let call = conditioned(call, op);
        let _ = self.document(operation, request, (op, Some(source)), ApiCall::Index(call)).await;
    }

    async fn update(&self, operation: &Operation) {
        let source = sources::merged(self.source(operation));
        let doc: Arc<str> = source.text.as_str().into();
        let call = UpdateRequest {
            upsert: Some(doc.clone()),
            options: self.write_options(operation),
            ..UpdateRequest::new(self.index_name(), &*operation.document, doc)
        };
        let asked = (DocOp::Update, Some(source));
        let _ = self.document(operation, operation.request(), asked, ApiCall::Update(call)).await;
    }

    /// A document without an id; if the answer is lost, perhaps the same once more.
    async fn add(&self, operation: &Operation) {
        let source = self.source(operation);
        for request in [operation.request(), operation.request() + 1] {
            let call = IndexRequest {
                id: None,
                options: write_options(&operation.parameters),
                ..IndexRequest::new(self.index_name(), "", source.text.clone().into())
            };
            let asked = (DocOp::Add, Some(source.clone()));
            let result = self.document(operation, request, asked, ApiCall::Index(call)).await;
            let is_lost = matches!(result, Err(CallError::Lost | CallError::TimedOut));
            if !operation.again || !is_lost {
                return;
            }
        }
    }

    /// What is left to chance of an operation.
    pub(super) fn die(&self, operation: &Operation) -> Die {
        self.client.dice().at(DOCUMENT, (operation.client, operation.number))
    }

    /// A document of known words, unlike any other.
    fn source(&self, operation: &Operation) -> Source {
        let mut die = self.die(operation);
        sources::draw(&operation.document, operation.request(), self.making(), &mut die)
    }

    pub(super) fn making(&self) -> Making {
        Making { bytes: self.plan.document_bytes, fields: self.plan.fields }
    }

    /// The `routing` of a document, for all who ask for it alike; none: its id, and that of one whose id is still to
    /// be drawn.
    pub(super) fn routing(&self, id: &str) -> Option<String> {
        let mut die = self.client.dice().at("document.routing", id);
        let is_routed = !id.is_empty() && die.chance(self.plan.options.routed);
        is_routed.then(|| format!("r{}", die.below(ROUTINGS)))
    }

    /// These parameters with the document's routing, as they are recorded.
    pub(super) fn with_routing(&self, parameters: &str, id: &str) -> String {
        match self.routing(id) {
            Some(routing) if parameters.is_empty() => format!("routing={routing}"),
            Some(routing) => format!("{parameters}&routing={routing}"),
            None => parameters.to_owned(),
        }
    }

    fn write_options(&self, operation: &Operation) -> WriteOptions {
        let routing = self.routing(&operation.document);
        WriteOptions { routing, ..write_options(&operation.parameters) }
    }

    /// One of the documents of the workload.
    pub(super) fn id(&self, die: &mut Die) -> String {
        format!("doc-{}", die.below(u64::from(self.plan.documents)))
    }

    async fn document(
        &self,
        operation: &Operation,
        request: u64,
        (op, source): (DocOp, Option<Source>),
        call: ApiCall,
    ) -> Result<ApiAnswer, CallError> {
        let (id, index) = (operation.document.clone(), self.plan.index.clone());
        // What a compare-and-set gets first, it gets in the plainest way.
        let parameters = if op == DocOp::Get { "" } else { &operation.parameters };
        let parameters = self.with_routing(parameters, &id);
        let asked = Asked { index, id, op, source, parameters };
        let (node, patience) = (operation.node, self.plan.timeout);
        let result = history::document(&self.client, request, node, asked, call, patience).await;
        if let Ok(answer) = &result {
            self.remember(answer);
        }
        result
    }

    async fn search(&self, operation: &Operation) {
        let Operation { word, body, parameters, node, .. } = operation;
        let mut call = match (body.as_str(), word.as_str()) {
            ("", "") => SearchRequest::everything(self.index_name(), SIZE),
            ("", word) => SearchRequest::words(self.index_name(), "body", word, SIZE),
            (body, _) => SearchRequest::new(self.index_name(), body),
        };
        for parameter in parameters.split('&') {
            match parameter.split_once('=') {
                Some(("search_type", _)) => call.search_type = SearchType::DfsQueryThenFetch,
                Some(("allow_partial_search_results", _)) => call.allow_partial_search_results = Some(false),
                Some(("preference", value)) => call.preference = Some(value.to_owned()),
                _ => {}
            }
        }
        let (request, asked) = (operation.request(), (call, parameters.clone()));
        let _ = history::search(&self.client, request, *node, asked, self.plan.timeout).await;
    }

    pub(super) fn index_name(&self) -> IndexName {
        self.plan.index.clone()
    }
}

/// The request that indexes on the condition of this operation.
pub(super) fn conditioned(mut call: IndexRequest, op: DocOp) -> IndexRequest {
    let version = |version| i64::try_from(version).ok();
    match op {
        DocOp::Create => call.op_type = OpType::Create,
        DocOp::Cas { seq_no, term } => {
            let WriteOptions { if_seq_no, if_primary_term, .. } =
                WriteOptions::if_last_changed_by(seq_no, term);
            (call.options.if_seq_no, call.options.if_primary_term) = (if_seq_no, if_primary_term);
        }
        DocOp::External { version: it } => {
            (call.options.version, call.options.version_type) = (version(it), VersionType::External);
        }
        DocOp::ExternalGte { version: it } => {
            (call.options.version, call.options.version_type) = (version(it), VersionType::ExternalGte);
        }
        DocOp::Index | DocOp::Update | DocOp::Add | DocOp::Delete | DocOp::Get => {}
    }
    call
}

/// The version that an operation brings.
fn version(operation: &Operation) -> u64 {
    operation.version.unwrap_or(1).into()
}

/// What these parameters say to a write.
pub(super) fn write_options(parameters: &str) -> WriteOptions {
    let mut options = WriteOptions::default();
    for parameter in parameters.split('&') {
        match parameter {
            "refresh=true" => options.refresh = RefreshPolicy::Immediate,
            "refresh=wait_for" => options.refresh = RefreshPolicy::WaitFor,
            "wait_for_active_shards=all" => options.wait_for_active_shards = Some(ActiveShards::All),
            "timeout=1s" => options.timeout = Some(Duration::from_secs(1)),
            _ => {}
        }
    }
    options
}

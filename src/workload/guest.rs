//! Guests — decides what a user's own workload can ask of the simulated cluster. It never records less than the laws
//! need: what a guest writes, reads and finds is judged like everybody's.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    documents::conditioned,
    history::{self, Asked, Source},
};
use crate::{
    event::DocOp,
    name::{HostId, IndexName, SeqNo, SimTime, Term},
    scenario::plan::Plan,
    search::api::{
        ApiAnswer, ApiCall, DeleteRequest, GetAnswer, GetRequest, IndexRequest, SearchAnswer, SearchRequest,
        WriteAnswer,
    },
    sim::{
        client::{CallError, Client},
        dice::Dice,
    },
};

/// How long a guest waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A workload of one's own: plain asynchronous code that speaks to the simulated cluster.
///
/// It runs on the operator's host, `client-1`, from the start of the run until it returns or the run ends.
#[derive(Clone)]
pub struct WorkloadFactory(Arc<dyn Fn(Cluster) -> Life + Send + Sync>);

type Life = Pin<Box<dyn Future<Output = ()>>>;

impl WorkloadFactory {
    /// One that lives like this.
    pub fn new<F: Future<Output = ()> + 'static>(
        workload: impl Fn(Cluster) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |cluster| Box::pin(workload(cluster))))
    }

    pub(super) fn live(&self, cluster: Cluster) -> Life {
        (self.0)(cluster)
    }
}

impl fmt::Debug for WorkloadFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkloadFactory")
    }
}

/// The cluster as a client sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    nodes: Arc<[HostId]>,
}

impl Cluster {
    pub(super) fn new(client: Client, plan: &Plan) -> Self {
        Self { client, nodes: plan.nodes.iter().map(|node| node.host).collect() }
    }

    /// Every search node, whether it runs or not.
    pub fn nodes(&self) -> &[HostId] {
        &self.nodes
    }

    /// Indexes a document, whatever was there; `source` is its JSON.
    ///
    /// # Errors
    ///
    /// [`CallError`]; only `NotSent` and a certain refusal promise that nothing was done.
    pub async fn index(
        &self,
        node: HostId,
        index: &str,
        id: &str,
        source: &str,
    ) -> Result<WriteAnswer, CallError> {
        self.put(node, index, (id, source), DocOp::Index).await
    }

    /// Indexes a document if there is none of this id.
    ///
    /// # Errors
    ///
    /// As [`index`](Self::index)'s.
    pub async fn create(
        &self,
        node: HostId,
        index: &str,
        id: &str,
        source: &str,
    ) -> Result<WriteAnswer, CallError> {
        self.put(node, index, (id, source), DocOp::Create).await
    }

    /// Indexes a document if it is still as it was got.
    ///
    /// # Errors
    ///
    /// As [`index`](Self::index)'s.
    pub async fn compare_and_set(
        &self,
        node: HostId,
        index: &str,
        (id, source): (&str, &str),
        (seq_no, term): (SeqNo, Term),
    ) -> Result<WriteAnswer, CallError> {
        self.put(node, index, (id, source), DocOp::Cas { seq_no, term }).await
    }

    async fn put(
        &self,
        node: HostId,
        index: &str,
        (id, source): (&str, &str),
        op: DocOp,
    ) -> Result<WriteAnswer, CallError> {
        let call = conditioned(IndexRequest::new(index.into(), id, source.into()), op);
        self.written(node, asked(index, id, op, Some(told(source))), ApiCall::Index(call)).await
    }

    /// Deletes a document.
    ///
    /// # Errors
    ///
    /// As [`index`](Self::index)'s.
    pub async fn delete(&self, node: HostId, index: &str, id: &str) -> Result<WriteAnswer, CallError> {
        let call = ApiCall::Delete(DeleteRequest::new(index.into(), id));
        self.written(node, asked(index, id, DocOp::Delete, None), call).await
    }

    /// Gets a document, as of now.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn get(&self, node: HostId, index: &str, id: &str) -> Result<GetAnswer, CallError> {
        let call = ApiCall::Get(GetRequest::new(index.into(), id));
        let asked = asked(index, id, DocOp::Get, None);
        match self.document(node, asked, call).await? {
            ApiAnswer::Got(answer) => Ok(answer),
            _ => Err(CallError::Lost),
        }
    }

    /// Searches with a body of Elasticsearch's JSON.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn search(&self, node: HostId, index: &str, body: &str) -> Result<SearchAnswer, CallError> {
        let call = SearchRequest::new(index.into(), body);
        let request = self.client.next_request();
        match history::search(&self.client, request, node, (call, String::new()), PATIENCE).await? {
            ApiAnswer::Found(answer) => Ok(answer),
            _ => Err(CallError::Lost),
        }
    }

    /// Calls anything else of the API. It is no part of the histories that laws judge: documents are to be written and
    /// read by the calls above.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn call(&self, node: HostId, call: ApiCall) -> Result<ApiAnswer, CallError> {
        self.client.call(node, call, PATIENCE).await
    }

    /// Sleeps for this span of simulated time.
    pub async fn sleep(&self, span: Duration) {
        self.client.sleep(span).await;
    }

    /// Simulated time.
    pub fn now(&self) -> SimTime {
        self.client.now()
    }

    /// Whether the duration of the scenario is over: writers are to stop, so that the cluster can settle.
    pub fn is_over(&self) -> bool {
        self.client.is_over()
    }

    /// The dice of the run: whatever a workload leaves to chance is drawn here, or no run could be repeated.
    pub fn dice(&self) -> Dice {
        self.client.dice()
    }

    async fn written(&self, node: HostId, asked: Asked, call: ApiCall) -> Result<WriteAnswer, CallError> {
        match self.document(node, asked, call).await? {
            ApiAnswer::Written(answer) => Ok(answer),
            _ => Err(CallError::Lost),
        }
    }

    async fn document(&self, node: HostId, asked: Asked, call: ApiCall) -> Result<ApiAnswer, CallError> {
        history::document(&self.client, self.client.next_request(), node, asked, call, PATIENCE).await
    }
}

fn asked(index: &str, id: &str, op: DocOp, source: Option<Source>) -> Asked {
    Asked { index: IndexName::from(index), id: id.to_owned(), op, source, parameters: String::new() }
}

/// A document with what searches can find in it: the words of its field `body`, and its other fields.
fn told(source: &str) -> Source {
    let document = serde_json::from_str(source).unwrap_or_default();
    let mut fields = match document {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    let words = fields.remove("body").and_then(|body| body.as_str().map(str::to_owned)).unwrap_or_default();
    let fields = if fields.is_empty() { String::new() } else { Value::Object(fields).to_string() };
    Source { text: source.to_owned(), words, fields }
}

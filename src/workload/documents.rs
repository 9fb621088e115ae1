//! Documents — decides how the client of a workload asks its requests. It never retries: each is asked once and its
//! outcome recorded, so that the history says exactly what clients know.

use std::{sync::Arc, time::Duration};

use madsim::task::spawn_local;

use super::{
    arrivals::{WORDS, operations},
    history::{self, Source},
};
use crate::{
    event::DocOp,
    name::{IndexName, SimTime},
    scenario::{
        operations::{Ask, Operation},
        plan::{Plan, WorkloadPlan},
    },
    search::api::{
        ApiAnswer, ApiCall, DeleteRequest, GetAnswer, GetRequest, IndexRequest, OpType, SearchRequest,
        VersionType, WriteOptions,
    },
    sim::client::{CallError, Client},
};

/// One workload under way. Cheap to clone.
#[derive(Clone)]
struct Stream {
    client: Client,
    plan: Arc<WorkloadPlan>,
}

/// Runs workload number `nth` of the plan until the world says that it is over.
///
/// A client that comes back after a crash does not ask what it would have asked while it was away.
pub async fn run(client: &Client, plan: &Plan, nth: usize) {
    let stream = Stream { client: client.clone(), plan: Arc::new(plan.workloads[nth].clone()) };
    let missed = if client.is_in_first_life() { Duration::ZERO } else { client.now().since_start() };
    for operation in operations(plan, client.host(), nth).skip_while(|one| one.at < missed) {
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
            Ask::Delete => {
                let call = ApiCall::Delete(DeleteRequest::new(self.index_name(), &*operation.document));
                let _ = self.document(&operation, operation.request(), DocOp::Delete, None, call).await;
            }
            Ask::Get => drop(self.get(&operation).await),
            Ask::Search => self.search(&operation).await,
        }
    }

    async fn get(&self, operation: &Operation) -> Result<ApiAnswer, CallError> {
        let call = ApiCall::Get(GetRequest::new(self.index_name(), &*operation.document));
        self.document(operation, operation.request(), DocOp::Get, None, call).await
    }

    /// Get, change, and index unless somebody else was faster.
    async fn change(&self, operation: &Operation) {
        let Ok(ApiAnswer::Got(GetAnswer { doc, .. })) = self.get(operation).await else { return };
        let op = doc.map_or(DocOp::Create, |doc| DocOp::Cas { seq_no: doc.seq_no, term: doc.term });
        self.index(operation, op).await;
    }

    /// An operation that gets first has used its first request for that.
    async fn index(&self, operation: &Operation, op: DocOp) {
        let request = operation.request() + u64::from(operation.ask == Ask::Cas);
        let source = self.source(operation);
        let mut call = IndexRequest::new(self.index_name(), &*operation.document, source.text.clone().into());
        let version = |version| i64::try_from(version).ok();
        match op {
            DocOp::Create => call.op_type = OpType::Create,
            DocOp::Cas { seq_no, term } => call.options = WriteOptions::if_last_changed_by(seq_no, term),
            DocOp::External { version: it } => {
                (call.options.version, call.options.version_type) = (version(it), VersionType::External);
            }
            DocOp::ExternalGte { version: it } => {
                (call.options.version, call.options.version_type) = (version(it), VersionType::ExternalGte);
            }
            DocOp::Index | DocOp::Delete | DocOp::Get => {}
        }
        let _ = self.document(operation, request, op, Some(source), ApiCall::Index(call)).await;
    }

    /// A document of known words, unlike any other.
    fn source(&self, operation: &Operation) -> Source {
        let mut die = self.client.dice().at("document", (operation.client, operation.number));
        let (id, request) = (&operation.document, operation.request());
        let frame = format!(r#"{{"id":"{id}","write":{request},"body":""}}"#).len();
        let mut words = String::new();
        for nth in 0.. {
            if nth >= 8 && frame + words.len() >= self.plan.document_bytes as usize {
                break;
            }
            words.push_str(if nth == 0 { "" } else { " " });
            words.push_str(WORDS[die.below(WORDS.len() as u64) as usize]);
        }
        Source { text: format!(r#"{{"id":"{id}","write":{request},"body":"{words}"}}"#), words }
    }

    async fn document(
        &self,
        operation: &Operation,
        request: u64,
        op: DocOp,
        source: Option<Source>,
        call: ApiCall,
    ) -> Result<ApiAnswer, CallError> {
        let asked =
            history::Asked { index: self.plan.index.clone(), id: operation.document.clone(), op, source };
        history::document(&self.client, request, operation.node, asked, call, self.plan.timeout).await
    }

    async fn search(&self, operation: &Operation) {
        let call = match operation.word.as_str() {
            "" => SearchRequest::everything(self.index_name(), 10),
            word => SearchRequest::words(self.index_name(), "body", word, 10),
        };
        let _ =
            history::search(&self.client, operation.request(), operation.node, call, self.plan.timeout).await;
    }

    fn index_name(&self) -> IndexName {
        self.plan.index.clone()
    }
}

/// The version that an operation brings.
fn version(operation: &Operation) -> u64 {
    operation.version.unwrap_or(1).into()
}

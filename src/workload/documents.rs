//! Documents — decides the stream of writes, gets and searches of one workload. It never retries: each
//! request is asked once and its outcome recorded, so that the history says exactly what clients know.

use std::{sync::Arc, time::Duration};

use madsim::task::spawn_local;

use crate::{
    event::{Digest, DocOp, EventKind, Outcome},
    name::{HostId, IndexName},
    scenario::{
        load::WriteKind,
        plan::{Plan, WorkloadPlan},
    },
    search::api::{
        ApiAnswer, ApiCall, DeleteRequest, GetAnswer, GetRequest, IndexRequest, OpType, Query, SearchAnswer,
        SearchRequest, VersionType, WriteOptions,
    },
    sim::{
        client::{CallError, Client},
        dice::Die,
    },
};

/// Words that documents are made of and searches look for.
const WORDS: [&str; 16] = [
    "quorum", "leader", "replica", "shard", "primary", "epoch", "watch", "session", "segment", "term",
    "merge", "commit", "ledger", "zone", "fence", "clock",
];

/// One workload under way. Cheap to clone.
#[derive(Clone)]
struct Stream {
    client: Client,
    nodes: Arc<[HostId]>,
    plan: Arc<WorkloadPlan>,
}

/// Runs workload number `nth` of the plan until the world says that it is over.
pub async fn run(client: &Client, plan: &Plan, nth: usize) {
    let stream = Stream {
        client: client.clone(),
        nodes: plan.nodes.iter().map(|node| node.host).collect(),
        plan: Arc::new(plan.workloads[nth].clone()),
    };
    client.sleep(stream.plan.starts_at).await;
    let kinds = [
        (Kind::Write, stream.plan.writes_per_second),
        (Kind::Read, stream.plan.reads_per_second),
        (Kind::Search, stream.plan.searches_per_second),
    ];
    for (kind, rate) in kinds {
        if rate > 0.0 {
            spawn_local(stream.clone().arrivals(kind, rate));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Write,
    Read,
    Search,
}

impl Stream {
    /// A Poisson process of requests; none waits for another.
    async fn arrivals(self, kind: Kind, rate: f64) {
        let mean = Duration::from_secs_f64(1.0 / rate);
        for nth in 0_u64.. {
            let mut die = self.client.dice().at("workload", (self.client.host(), kind, nth));
            self.client.sleep(die.exponential(mean)).await;
            if self.client.is_over() {
                return;
            }
            spawn_local(self.clone().ask(kind, die));
        }
    }

    async fn ask(self, kind: Kind, mut die: Die) {
        let node = self.nodes[die.below(self.nodes.len() as u64) as usize];
        let id = format!("doc-{}", die.below(u64::from(self.plan.documents)));
        match kind {
            Kind::Write if die.chance(self.plan.delete_ratio) => self.delete(node, id).await,
            Kind::Write => self.write(node, id, die).await,
            Kind::Read => self.get(node, id).await,
            Kind::Search => self.search(node, die).await,
        }
    }

    /// A write of the mix.
    async fn write(self, node: HostId, id: String, mut die: Die) {
        let kind = self.plan.write_mix.kind_at(die.unit());
        let version = self.version(&mut die);
        match kind {
            WriteKind::Index => self.index(node, id, DocOp::Index, die).await,
            WriteKind::Create => self.index(node, id, DocOp::Create, die).await,
            WriteKind::Cas => self.change(node, id, die).await,
            WriteKind::External => {
                self.index(node, format!("ext-{id}"), DocOp::External { version }, die).await;
            }
            WriteKind::ExternalGte => {
                self.index(node, format!("ext-{id}"), DocOp::ExternalGte { version }, die).await;
            }
        }
    }

    /// A version of the client's own: they grow from write to write, but for a few.
    fn version(&self, die: &mut Die) -> u64 {
        let next = (self.client.next_request() & u64::from(u32::MAX)) + 1;
        next.saturating_sub(die.below(6).saturating_sub(3)).max(1)
    }

    /// Get, change, and index unless somebody else was faster.
    async fn change(self, node: HostId, id: String, die: Die) {
        let call = ApiCall::Get(GetRequest::new(self.index_name(), &*id));
        let result = self.document(node, id.clone(), DocOp::Get, None, call).await;
        let Ok(ApiAnswer::Got(GetAnswer { doc, .. })) = result else { return };
        let op = doc.map_or(DocOp::Create, |doc| DocOp::Cas { seq_no: doc.seq_no, term: doc.term });
        self.index(node, id, op, die).await;
    }

    async fn index(self, node: HostId, id: String, op: DocOp, mut die: Die) {
        let source = self.source(&id, &mut die);
        let digest = Digest::of(source.as_bytes());
        let mut request = IndexRequest::new(self.index_name(), &*id, source.into());
        let version = |version| i64::try_from(version).ok();
        match op {
            DocOp::Create => request.op_type = OpType::Create,
            DocOp::Cas { seq_no, term } => request.options = WriteOptions::if_last_changed_by(seq_no, term),
            DocOp::External { version: it } => {
                (request.options.version, request.options.version_type) =
                    (version(it), VersionType::External);
            }
            DocOp::ExternalGte { version: it } => {
                (request.options.version, request.options.version_type) =
                    (version(it), VersionType::ExternalGte);
            }
            DocOp::Index | DocOp::Delete | DocOp::Get => {}
        }
        let _ = self.document(node, id, op, Some(digest), ApiCall::Index(request)).await;
    }

    /// A document of known words, unlike any other.
    fn source(&self, id: &str, die: &mut Die) -> String {
        let request = self.client.next_request();
        let mut source = format!(r#"{{"id":"{id}","write":{request},"body":""#);
        for nth in 0.. {
            if nth >= 8 && source.len() + 2 >= self.plan.document_bytes as usize {
                break;
            }
            source.push_str(if nth == 0 { "" } else { " " });
            source.push_str(WORDS[die.below(WORDS.len() as u64) as usize]);
        }
        source + r#""}"#
    }

    async fn delete(self, node: HostId, id: String) {
        let call = ApiCall::Delete(DeleteRequest::new(self.index_name(), &*id));
        let _ = self.document(node, id, DocOp::Delete, None, call).await;
    }

    async fn get(self, node: HostId, id: String) {
        let call = ApiCall::Get(GetRequest::new(self.index_name(), &*id));
        let _ = self.document(node, id, DocOp::Get, None, call).await;
    }

    /// Asks, and records what was asked and what came of it.
    async fn document(
        &self,
        node: HostId,
        id: String,
        op: DocOp,
        source: Option<Digest>,
        call: ApiCall,
    ) -> Result<ApiAnswer, CallError> {
        let request = self.client.next_request();
        let index = self.plan.index.to_string();
        self.client.record(EventKind::DocInvoked { request, index, id, op, source });
        let result = self.client.call(node, call, self.plan.timeout).await;
        self.client.record(doc_completed(request, &result));
        result
    }

    async fn search(self, node: HostId, mut die: Die) {
        let word = WORDS[die.below(WORDS.len() as u64) as usize];
        let query = if die.chance(0.1) { Query::MatchAll } else { Query::Match(word.into()) };
        let request = self.client.next_request();
        let text = match &query {
            Query::MatchAll => "*".to_owned(),
            Query::Match(words) => words.clone(),
        };
        let index = self.plan.index.to_string();
        self.client.record(EventKind::SearchInvoked { request, index, query: text });
        let call = ApiCall::Search(SearchRequest { index: self.index_name(), query, size: 10 });
        let result = self.client.call(node, call, self.plan.timeout).await;
        self.client.record(search_completed(request, result));
    }

    fn index_name(&self) -> IndexName {
        self.plan.index.clone()
    }
}

/// What the client knows after a call that failed.
fn outcome(error: &CallError) -> (Outcome, &'static str) {
    match error {
        CallError::Refused(error) if error.certain => (Outcome::Failed, ""),
        CallError::Refused(_) => (Outcome::Unknown, ""),
        CallError::NotSent => (Outcome::Failed, "connection_refused"),
        CallError::Lost => (Outcome::Unknown, "connection_lost"),
        CallError::TimedOut => (Outcome::Unknown, "timed_out"),
    }
}

/// How a document request ended, as the client knows it.
fn doc_completed(request: u64, result: &Result<ApiAnswer, CallError>) -> EventKind {
    let (outcome, error) = match result {
        Ok(_) => (Outcome::Ok, None),
        Err(CallError::Refused(error)) => {
            (outcome(&CallError::Refused(error.clone())).0, Some(error.kind.clone()))
        }
        Err(error) => {
            let (outcome, kind) = outcome(error);
            (outcome, Some(kind.into()))
        }
    };
    let (seq_no, term, version, result, source) = match result {
        Ok(ApiAnswer::Written(done)) => {
            (Some(done.seq_no), Some(done.term), Some(done.version), Some(done.result.name().into()), None)
        }
        Ok(ApiAnswer::Got(GetAnswer { doc: Some(doc), .. })) => {
            let source = Digest::of(doc.source.as_bytes());
            (Some(doc.seq_no), Some(doc.term), Some(doc.version), None, Some(source))
        }
        _ => (None, None, None, None, None),
    };
    EventKind::DocCompleted { request, outcome, seq_no, term, version, result, source, error }
}

fn search_completed(request: u64, result: Result<ApiAnswer, CallError>) -> EventKind {
    match result {
        Ok(ApiAnswer::Found(SearchAnswer { shards_total, shards_successful, total, hits })) => {
            let hits = hits.into_iter().map(|hit| hit.id).collect();
            let outcome = Outcome::Ok;
            EventKind::SearchCompleted { request, outcome, shards_successful, shards_total, total, hits }
        }
        Ok(_) => search_failed(request, Outcome::Unknown),
        Err(error) => search_failed(request, outcome(&error).0),
    }
}

fn search_failed(request: u64, outcome: Outcome) -> EventKind {
    EventKind::SearchCompleted {
        request,
        outcome,
        shards_successful: 0,
        shards_total: 0,
        total: 0,
        hits: Vec::new(),
    }
}

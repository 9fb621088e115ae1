//! Documents — decides the stream of writes, gets and searches of one workload. It never tries a request again on
//! its own account: each is asked once and its outcome recorded, so that the history says exactly what clients
//! know. (A client that sends a document without an id once more, `options.retry`, sends another request.)

mod bulk;
mod queries;
mod searches;
mod sources;
mod told;
mod writes;

use std::{sync::Arc, time::Duration};

use madsim::task::spawn_local;

use self::sources::Source;
use crate::{
    event::{DocOp, EventKind},
    name::{HostId, IndexName},
    scenario::plan::{Plan, WorkloadPlan},
    search::api::{ApiAnswer, ApiCall, GetRequest},
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

/// The dice of one request: what it is, and in which way it is asked.
struct Dice {
    content: Die,
    options: Die,
}

/// A document request about to be sent.
struct Asked {
    id: String,
    op: DocOp,
    source: Option<Source>,
    /// How it is asked, for the record.
    parameters: String,
}

impl Asked {
    fn get(id: String, parameters: &str) -> Self {
        Self { id, op: DocOp::Get, source: None, parameters: parameters.to_owned() }
    }
}

impl Stream {
    /// A Poisson process of requests; none waits for another.
    async fn arrivals(self, kind: Kind, rate: f64) {
        let mean = Duration::from_secs_f64(1.0 / rate);
        for nth in 0_u64.. {
            let key = (self.client.host(), kind, nth);
            let mut content = self.client.dice().at("workload", key);
            self.client.sleep(content.exponential(mean)).await;
            if self.client.is_over() {
                return;
            }
            let options = self.client.dice().at("workload.options", key);
            spawn_local(self.clone().ask(kind, Dice { content, options }));
        }
    }

    async fn ask(self, kind: Kind, mut dice: Dice) {
        let node = self.nodes[dice.content.below(self.nodes.len() as u64) as usize];
        let id = self.id(&mut dice.content);
        match kind {
            Kind::Write if dice.options.chance(self.plan.options.bulk) => self.bulk(node, dice).await,
            Kind::Write if dice.content.chance(self.plan.delete_ratio) => self.delete(node, id, dice).await,
            Kind::Write => self.write(node, id, dice).await,
            Kind::Read if dice.options.chance(self.plan.options.mget) => self.several(node, dice).await,
            Kind::Read => self.get(node, id).await,
            Kind::Search => self.search(node, dice).await,
        }
    }

    fn id(&self, die: &mut Die) -> String {
        format!("doc-{}", die.below(u64::from(self.plan.documents)))
    }

    async fn get(self, node: HostId, id: String) {
        let call = ApiCall::Get(GetRequest::new(self.index_name(), &*id));
        let _ = self.document(node, Asked::get(id, ""), call).await;
    }

    /// Asks, and records what was asked and what came of it.
    async fn document(&self, node: HostId, asked: Asked, call: ApiCall) -> Result<ApiAnswer, CallError> {
        let request = self.client.next_request();
        let is_drawn = asked.op == DocOp::Add;
        self.invoked(request, asked);
        let result = self.client.call(node, call, self.plan.timeout).await;
        self.client.record(told::document(request, is_drawn, &result));
        result
    }

    fn invoked(&self, request: u64, asked: Asked) {
        let Asked { id, op, source, parameters } = asked;
        let index = self.plan.index.to_string();
        let (source, words, fields) = source.map_or((None, String::new(), String::new()), |source| {
            (Some(source.digest()), source.words, source.fields)
        });
        let event = EventKind::DocInvoked { request, index, id, op, source, words, fields, parameters };
        self.client.record(event);
    }

    fn index_name(&self) -> IndexName {
        self.plan.index.clone()
    }
}

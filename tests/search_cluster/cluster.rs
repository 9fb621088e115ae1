//! Cluster — decides what a client can do with three search nodes on three ZooKeeper servers. It never judges.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shardarium::{
    core::{ConnId, Input},
    defect::Defects,
    event::{EventKind, HeldDoc, Placement},
    name::{HostId, IndexName, SeqNo, ShardId, Term},
    scenario::plan::SearchConfig,
    search::{
        api::{
            ApiAnswer, ApiCall, ApiError, CreateIndexRequest, GetRequest, GotDoc, Health, IndexRequest,
            RefreshRequest, SearchRequest, WriteAnswer, WriteResult,
            admin::{HealthRequest, IndexCreated},
        },
        node::{Node, NodeConfig},
        stats::DiskSize,
    },
    zookeeper::{server::Server, wire::EnsembleConfig},
};

use crate::world::{Boot, Process, World};

pub(crate) const SERVERS: [HostId; 3] = [HostId::zookeeper(1), HostId::zookeeper(2), HostId::zookeeper(3)];
pub(crate) const NODES: [HostId; 3] = [HostId::search(1), HostId::search(2), HostId::search(3)];
/// Longer than a session lives, a shard fails over and recovers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn ensemble() -> EnsembleConfig {
    EnsembleConfig { servers: SERVERS.to_vec(), tick_ms: 500, snap_count: 1_000, ..EnsembleConfig::default() }
}

pub(crate) fn search_config() -> SearchConfig {
    SearchConfig {
        session_timeout: Duration::from_secs(4),
        refresh_interval: Duration::from_secs(1),
        delayed_allocation: Duration::from_secs(5),
        request_timeout: Duration::from_secs(20),
        flush_operations: 1_000,
        read_policy: Default::default(),
        write_threads: 1,
    }
}

pub(crate) fn node(me: HostId) -> Boot {
    Box::new(move |entropy, files, _| {
        let config = NodeConfig {
            me,
            zone: "a".to_owned(),
            attributes: Default::default(),
            allocator: Default::default(),
            servers: SERVERS.to_vec(),
            search: search_config(),
            defects: Defects::default(),
            disk_size: DiskSize::Unknown,
        };
        Process::search(Node::boot(config, entropy, files))
    })
}

pub(crate) fn server(me: HostId) -> Boot {
    Box::new(move |entropy, files, now| {
        Process::zookeeper(Server::boot(ensemble(), me, Defects::default(), entropy, files, now))
    })
}

/// A world with a cluster in it, and what its clients do.
pub(crate) struct Cluster(pub(crate) World);

impl Cluster {
    /// Three nodes, green, with the index `articles`.
    pub(crate) fn with_index(shards: u32, replicas: u32) -> Self {
        let mut world = World::new();
        for id in SERVERS {
            world.add(id, server(id));
        }
        for id in NODES {
            world.add(id, node(id));
        }
        let mut cluster = Self(world);
        cluster.await_health(NODES[0], Health::Green, 3);
        let request = CreateIndexRequest::new(articles(), shards, replicas);
        let created = cluster.ask(NODES[1], ApiCall::CreateIndex(request));
        let (acknowledged, shards_acknowledged, index) = (true, true, articles());
        let expected = IndexCreated { acknowledged, shards_acknowledged, index };
        assert_eq!(created, Ok(ApiAnswer::IndexCreated(expected)));
        cluster.await_health(NODES[0], Health::Green, 3);
        cluster
    }

    /// Asks a node and waits for its reply.
    pub(crate) fn ask(&mut self, node: HostId, call: ApiCall) -> Result<ApiAnswer, ApiError> {
        let at = self.0.request(node, call.clone());
        self.reply(at).unwrap_or_else(|| panic!("{node} does not answer {call:?}"))
    }

    pub(crate) fn reply(&mut self, at: (HostId, ConnId)) -> Option<Result<ApiAnswer, ApiError>> {
        let mut reply = None;
        self.0.run_until(PATIENCE, |world| {
            reply = world.reply(at);
            reply.is_some()
        });
        reply
    }

    pub(crate) fn await_health(&mut self, by: HostId, status: Health, nodes: u32) {
        let deadline = self.0.now() + PATIENCE;
        let is_it = |answer: &Result<ApiAnswer, ApiError>| match answer {
            Ok(ApiAnswer::Health(health)) => (health.counts.status, health.nodes) == (status, nodes),
            _ => false,
        };
        while !is_it(&self.ask(by, ApiCall::Health(HealthRequest::default()))) {
            assert!(self.0.now() < deadline, "{status:?} with {nodes} nodes in time: {}", self.story());
            self.pass(Duration::from_millis(100));
        }
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.0.run_until(span, |_| false);
    }

    pub(crate) fn index(&mut self, node: HostId, id: &str, text: &str) -> Result<ApiAnswer, ApiError> {
        self.ask(node, index(id, text))
    }

    /// A document, by way of this node.
    pub(crate) fn look(&mut self, node: HostId, id: &str) -> Option<GotDoc> {
        let call = ApiCall::Get(GetRequest::new(articles(), id));
        match self.ask(node, call) {
            Ok(ApiAnswer::Got(answer)) => answer.doc,
            other => panic!("{id}: {other:?}"),
        }
    }

    /// Its source.
    pub(crate) fn get(&mut self, node: HostId, id: &str) -> Option<Arc<str>> {
        self.look(node, id).map(|doc| doc.source)
    }

    /// Undoes all mishaps, and waits until no node sees any trace of them.
    pub(crate) fn make_peace(&mut self) {
        self.0.heal();
        self.0.resume();
        for id in [SERVERS, NODES].concat() {
            if !self.0.runs(id) {
                self.0.start(id);
            }
        }
        self.pass(search_config().session_timeout * 4);
        for node in NODES {
            self.await_health(node, Health::Green, 3);
        }
    }

    /// Ids found, best first, after a refresh.
    pub(crate) fn search(&mut self, node: HostId, query: &str) -> Vec<String> {
        self.ask(node, ApiCall::Refresh(RefreshRequest { index: articles() })).unwrap();
        let body = format!(r#"{{"query":{query},"size":100}}"#);
        match self.ask(node, ApiCall::Search(SearchRequest::new(articles(), body))) {
            Ok(ApiAnswer::Found(answer)) => {
                assert_eq!(answer.shards_total, answer.shards_successful);
                assert_eq!(answer.total.unwrap().value, answer.hits.len() as u64);
                answer.hits.into_iter().map(|hit| hit.id).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Where copies are, by the newest published state.
    pub(crate) fn routing(&self) -> &[Placement] {
        let published = self.0.events.iter().rev().find_map(|(_, event)| match event {
            EventKind::StatePublished { routing, .. } => Some(routing),
            _ => None,
        });
        published.expect("a state was published")
    }

    pub(crate) fn primary(&self, shard: &ShardId) -> (HostId, Term) {
        let primary = self.routing().iter().find(|copy| copy.primary && copy.shard == *shard);
        primary.and_then(|copy| Some((copy.node?, copy.term))).expect("a primary on a node")
    }

    /// The node of the primary, or of a replica, of the first shard.
    pub(crate) fn holder(&self, primary: bool) -> HostId {
        let copy = self.routing().iter().find(|copy| copy.primary == primary && copy.shard == shard());
        copy.and_then(|copy| copy.node).expect("a copy on a node")
    }

    /// The last events, for a failing test.
    pub(crate) fn story(&self) -> String {
        let lines = self.0.events.iter().rev().take(40).map(|(host, event)| format!("\n{host} {event:?}"));
        lines.collect()
    }
}

pub(crate) fn articles() -> IndexName {
    "articles".into()
}

pub(crate) fn shard() -> ShardId {
    ShardId { index: articles(), number: 0 }
}

pub(crate) fn source(text: &str) -> Arc<str> {
    format!(r#"{{"title":"{text}"}}"#).into()
}

pub(crate) fn index(id: &str, text: &str) -> ApiCall {
    ApiCall::Index(IndexRequest::new(articles(), id, source(text)))
}

pub(crate) fn written(answer: Result<ApiAnswer, ApiError>) -> (WriteResult, SeqNo, Term, (u32, u32)) {
    match answer {
        Ok(ApiAnswer::Written(WriteAnswer { result, seq_no, term, copies, .. })) => {
            (result, seq_no, term, copies)
        }
        other => panic!("not written: {other:?}"),
    }
}

/// A node other than these.
pub(crate) fn other_than(taken: &[HostId]) -> HostId {
    NODES.into_iter().find(|node| !taken.contains(node)).expect("three nodes")
}

/// Writes by way of `node` until a write is acknowledged: one that was under way may have ended unclear.
pub(crate) fn written_in_time(cluster: &mut Cluster, node: HostId) -> (WriteResult, SeqNo, Term, (u32, u32)) {
    for _ in 0..3 {
        match cluster.index(node, "5", "during") {
            Err(error) => assert!(!error.certain, "a primary is found in time: {error}"),
            answer => return written(answer),
        }
    }
    panic!("no write is acknowledged: {}", cluster.story())
}

pub(crate) fn assert_copies_agree(cluster: &mut Cluster) {
    cluster.pass(Duration::from_secs(2));
    let before = cluster.0.events.len();
    for node in NODES {
        cluster.0.give(node, Input::Inspect);
    }
    cluster.pass(Duration::from_secs(1));
    let mut held: BTreeMap<&ShardId, Vec<_>> = BTreeMap::new();
    for (_, event) in &cluster.0.events[before..] {
        if let EventKind::CopyInspected { shard, docs, searchable, .. } = event {
            held.entry(shard).or_default().push((docs, searchable));
        }
    }
    for (shard, copies) in held {
        assert_eq!(copies.len(), 2, "{shard}: a primary and a replica");
        let [(docs, searchable), (others, searchable_too)] = [copies[0], copies[1]];
        assert_eq!(searchable, searchable_too, "{shard}");
        assert_alike(shard, docs, others);
        assert_alike(shard, others, docs);
    }
}

/// Each document of one copy is on the other as well; a tombstone may be gone there, for each copy drops them in
/// its own time (`index.gc_deletes`).
fn assert_alike(shard: &ShardId, docs: &[HeldDoc], others: &[HeldDoc]) {
    for doc in docs {
        match others.iter().find(|other| other.id == doc.id) {
            Some(other) => assert_eq!(doc, other, "{shard}"),
            None => assert_eq!(doc.source, None, "{shard}: only one copy has {doc:?}"),
        }
    }
}

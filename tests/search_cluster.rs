//! A search cluster of three nodes on three ZooKeeper servers: writes, reads, searches, and goes on when the
//! node of a primary dies.

mod harness;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use harness::{Death, Process, World};
use shardarium::{
    core::{ConnId, Entropy, Input},
    defect::Defects,
    event::{CopyState, EventKind, Placement},
    name::{HostId, IndexName, SeqNo, ShardId, Term},
    scenario::plan::SearchConfig,
    search::{
        api::{ApiAnswer, ApiCall, ApiError, GotDoc, Health, Query, WriteResult},
        node::{Node, NodeConfig},
    },
    zookeeper::{server::Server, wire::EnsembleConfig},
};

const SERVERS: [HostId; 3] = [HostId::zookeeper(1), HostId::zookeeper(2), HostId::zookeeper(3)];
const NODES: [HostId; 3] = [HostId::search(1), HostId::search(2), HostId::search(3)];
/// Longer than a session lives, a shard fails over and recovers.
const PATIENCE: Duration = Duration::from_secs(60);

fn ensemble() -> EnsembleConfig {
    EnsembleConfig {
        servers: SERVERS.to_vec(),
        tick_ms: 500,
        init_limit: 10,
        sync_limit: 5,
        snap_count: 1_000,
    }
}

fn search_config() -> SearchConfig {
    SearchConfig {
        session_timeout: Duration::from_secs(4),
        refresh_interval: Duration::from_secs(1),
        delayed_allocation: Duration::from_secs(5),
        request_timeout: Duration::from_secs(20),
        flush_operations: 1_000,
    }
}

fn node(me: HostId) -> harness::Boot {
    Box::new(move |entropy, files, _| {
        let config = NodeConfig {
            me,
            zone: "a".to_owned(),
            servers: SERVERS.to_vec(),
            search: search_config(),
            defects: Defects::default(),
        };
        Process::search(Node::boot(config, entropy, files))
    })
}

fn server(me: HostId) -> harness::Boot {
    Box::new(move |entropy, files, now| {
        Process::zookeeper(Server::boot(ensemble(), me, Defects::default(), entropy, files, now))
    })
}

/// A world with a cluster in it, and what its clients do.
struct Cluster(World);

impl Cluster {
    /// Three nodes, green, with the index `articles`.
    fn with_index(shards: u32, replicas: u32) -> Self {
        let mut world = World::new();
        for id in SERVERS {
            world.add(id, server(id));
        }
        for id in NODES {
            world.add(id, node(id));
        }
        let mut cluster = Self(world);
        cluster.await_health(NODES[0], Health::Green, 3);
        let created = cluster.ask(NODES[1], ApiCall::CreateIndex { index: articles(), shards, replicas });
        assert_eq!(created, Ok(ApiAnswer::Acknowledged));
        cluster.await_health(NODES[0], Health::Green, 3);
        cluster
    }

    /// Asks a node and waits for its reply.
    fn ask(&mut self, node: HostId, call: ApiCall) -> Result<ApiAnswer, ApiError> {
        let at = self.0.request(node, call.clone());
        self.reply(at).unwrap_or_else(|| panic!("{node} does not answer {call:?}"))
    }

    fn reply(&mut self, at: (HostId, ConnId)) -> Option<Result<ApiAnswer, ApiError>> {
        let mut reply = None;
        self.0.run_until(PATIENCE, |world| {
            reply = world.reply(at);
            reply.is_some()
        });
        reply
    }

    fn await_health(&mut self, by: HostId, status: Health, nodes: u32) {
        let deadline = self.0.now() + PATIENCE;
        while self.ask(by, ApiCall::Health) != Ok(ApiAnswer::Health { status, nodes }) {
            assert!(self.0.now() < deadline, "{status:?} with {nodes} nodes in time: {}", self.story());
            self.pass(Duration::from_millis(100));
        }
    }

    fn pass(&mut self, span: Duration) {
        self.0.run_until(span, |_| false);
    }

    fn index(&mut self, node: HostId, id: &str, text: &str) -> Result<ApiAnswer, ApiError> {
        self.ask(node, index(id, text))
    }

    /// A document, by way of this node.
    fn look(&mut self, node: HostId, id: &str) -> Option<GotDoc> {
        let call = ApiCall::Get { index: articles(), id: id.to_owned() };
        match self.ask(node, call) {
            Ok(ApiAnswer::Got(doc)) => doc,
            other => panic!("{id}: {other:?}"),
        }
    }

    /// Its source.
    fn get(&mut self, node: HostId, id: &str) -> Option<Arc<str>> {
        self.look(node, id).map(|doc| doc.source)
    }

    /// Undoes all mishaps, and waits until no node sees any trace of them.
    fn make_peace(&mut self) {
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
    fn search(&mut self, node: HostId, query: Query) -> Vec<String> {
        self.ask(node, ApiCall::Refresh { index: articles() }).unwrap();
        match self.ask(node, ApiCall::Search { index: articles(), query, size: 100 }) {
            Ok(ApiAnswer::Found { shards_total, shards_successful, total, hits }) => {
                assert_eq!((shards_total, total), (shards_successful, hits.len() as u64));
                hits.into_iter().map(|hit| hit.id).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Where copies are, by the newest published state.
    fn routing(&self) -> &[Placement] {
        let published = self.0.events.iter().rev().find_map(|(_, event)| match event {
            EventKind::StatePublished { routing, .. } => Some(routing),
            _ => None,
        });
        published.expect("a state was published")
    }

    fn primary(&self, shard: &ShardId) -> (HostId, Term) {
        let primary = self.routing().iter().find(|copy| copy.primary && copy.shard == *shard);
        primary.and_then(|copy| Some((copy.node?, copy.term))).expect("a primary on a node")
    }

    /// The node of the primary, or of a replica, of the first shard.
    fn holder(&self, primary: bool) -> HostId {
        let copy = self.routing().iter().find(|copy| copy.primary == primary && copy.shard == shard());
        copy.and_then(|copy| copy.node).expect("a copy on a node")
    }

    /// The last events, for a failing test.
    fn story(&self) -> String {
        let lines = self.0.events.iter().rev().take(40).map(|(host, event)| format!("\n{host} {event:?}"));
        lines.collect()
    }
}

fn articles() -> IndexName {
    "articles".into()
}

fn shard() -> ShardId {
    ShardId { index: articles(), number: 0 }
}

fn source(text: &str) -> Arc<str> {
    format!(r#"{{"title":"{text}"}}"#).into()
}

fn index(id: &str, text: &str) -> ApiCall {
    ApiCall::Index { index: articles(), id: id.to_owned(), source: source(text), condition: None }
}

fn written(answer: Result<ApiAnswer, ApiError>) -> (WriteResult, SeqNo, Term, (u32, u32)) {
    match answer {
        Ok(ApiAnswer::Written { result, seq_no, term, copies, .. }) => (result, seq_no, term, copies),
        other => panic!("not written: {other:?}"),
    }
}

/// A node other than these.
fn other_than(taken: &[HostId]) -> HostId {
    NODES.into_iter().find(|node| !taken.contains(node)).expect("three nodes")
}

#[test]
fn every_node_serves_what_any_node_wrote() {
    let mut cluster = Cluster::with_index(3, 1);
    for number in 0..12 {
        let node = NODES[number % 3];
        let (result, .., copies) = written(cluster.index(node, &number.to_string(), "red fox"));
        assert_eq!((result, copies), (WriteResult::Created, (2, 2)));
    }
    written(cluster.index(NODES[0], "3", "blue whale"));
    let delete = ApiCall::Delete { index: articles(), id: "4".to_owned() };
    assert_eq!(written(cluster.ask(NODES[1], delete)).0, WriteResult::Deleted);
    for node in NODES {
        assert_eq!(cluster.get(node, "3"), Some(source("blue whale")));
        assert_eq!(cluster.get(node, "4"), None);
        assert_eq!(cluster.search(node, Query::MatchAll).len(), 11);
        assert_eq!(cluster.search(node, Query::Match("whale".to_owned())), ["3"]);
    }
}

#[test]
fn condition_that_does_not_hold_conflicts() {
    let mut cluster = Cluster::with_index(1, 1);
    let (_, seq_no, term, _) = written(cluster.index(NODES[0], "a", "one"));
    let conditional = |text: &str| ApiCall::Index {
        index: articles(),
        id: "a".to_owned(),
        source: source(text),
        condition: Some((seq_no, term)),
    };
    written(cluster.ask(NODES[1], conditional("two")));
    let error = cluster.ask(NODES[2], conditional("three")).unwrap_err();
    assert_eq!((error.status, &*error.kind), (409, "version_conflict_engine_exception"));
    assert_eq!(cluster.get(NODES[2], "a"), Some(source("two")));
}

fn failover(death: Death) {
    let mut cluster = Cluster::with_index(1, 1);
    for number in 0..5 {
        written(cluster.index(NODES[number % 3], &number.to_string(), "before"));
    }
    let (first, term) = cluster.primary(&shard());
    let witness = other_than(&[first]);
    cluster.0.kill(first, death);

    let (_, _, new_term, _) = written_in_time(&mut cluster, witness);
    assert!(new_term > term, "a promoted primary writes in a higher term");
    assert_ne!(cluster.primary(&shard()).0, first);
    for number in 0..5 {
        assert_eq!(cluster.get(witness, &number.to_string()), Some(source("before")));
    }
    cluster.await_health(witness, Health::Green, 2);

    cluster.0.start(first);
    cluster.await_health(witness, Health::Green, 3);
    written(cluster.index(first, "after", "return"));
    assert_eq!(cluster.search(first, Query::MatchAll).len(), 7);
    assert_copies_agree(&mut cluster);
}

/// Writes by way of `node` until a write is acknowledged: one that was under way may have ended unclear.
fn written_in_time(cluster: &mut Cluster, node: HostId) -> (WriteResult, SeqNo, Term, (u32, u32)) {
    for _ in 0..3 {
        match cluster.index(node, "5", "during") {
            Err(error) => assert!(!error.certain, "a primary is found in time: {error}"),
            answer => return written(answer),
        }
    }
    panic!("no write is acknowledged: {}", cluster.story())
}

fn assert_copies_agree(cluster: &mut Cluster) {
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
        assert_eq!(copies[0], copies[1], "{shard}");
    }
}

#[test]
fn dead_process_of_a_primary_is_followed_by_a_promotion() {
    failover(Death::Process);
}

#[test]
fn dead_machine_of_a_primary_is_followed_by_a_promotion() {
    failover(Death::Power);
}

#[test]
fn node_that_restarts_before_its_session_expires_goes_on() {
    for primary in [true, false] {
        let mut cluster = Cluster::with_index(1, 1);
        for number in 0..5 {
            written(cluster.index(NODES[number % 3], &number.to_string(), "before"));
        }
        let restarted = cluster.holder(primary);
        cluster.0.kill(restarted, Death::Process);
        cluster.pass(Duration::from_millis(500));
        cluster.0.start(restarted);
        let witness = other_than(&[restarted]);
        written_in_time(&mut cluster, witness);
        cluster.pass(search_config().session_timeout * 2);
        cluster.await_health(witness, Health::Green, 3);
        assert_eq!(cluster.search(restarted, Query::MatchAll).len(), 6);
        assert_copies_agree(&mut cluster);
    }
}

/// The writes of a stream that were acknowledged, while the node of a primary dies halfway.
fn acknowledged_of_a_hundred(cluster: &mut Cluster, victim: HostId, death: Death) -> Vec<String> {
    let witness = other_than(&[victim]);
    let mut asked = Vec::new();
    for number in 0..100 {
        let id = number.to_string();
        asked.push((id.clone(), cluster.0.request(witness, index(&id, "streamed"))));
        cluster.pass(Duration::from_millis(5));
        if number == 50 {
            cluster.0.kill(victim, death);
        }
    }
    asked.retain(|(_, at)| cluster.reply(*at).expect("an answer").is_ok());
    asked.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn acknowledged_writes_outlive_their_primary() {
    // A dead process refuses connections, so that only the write under way is unclear; on a dead machine every
    // write is unclear until it is known to be dead.
    for (death, least) in [(Death::Process, 98), (Death::Power, 51)] {
        let mut cluster = Cluster::with_index(1, 1);
        let (victim, _) = cluster.primary(&shard());
        let acknowledged = acknowledged_of_a_hundred(&mut cluster, victim, death);
        assert!(acknowledged.len() >= least, "{death:?}: {} writes", acknowledged.len());
        let witness = other_than(&[victim]);
        for id in acknowledged {
            assert_eq!(cluster.get(witness, &id), Some(source("streamed")), "{death:?}: {id}");
        }
    }
}

/// What can happen to a world.
fn mishap(world: &mut World, dice: &mut Entropy) {
    let hosts = [SERVERS, NODES].concat();
    let mut draw = |n: usize| (dice.draw() % n as u64) as usize;
    let victim = hosts[draw(hosts.len())];
    match draw(8) {
        0 | 1 if world.runs(victim) => world.kill(victim, [Death::Process, Death::Power][draw(2)]),
        2 => {
            let other = hosts[draw(hosts.len())];
            if other != victim {
                world.cut(victim, other);
            }
        }
        3 => world.heal(),
        4 if world.runs(victim) => world.pause(victim),
        5 => world.resume(),
        _ if !world.runs(victim) => world.start(victim),
        _ => {}
    }
}

/// What was asked of a document: the source, or none to delete it, and where the answer will be.
type Asked = Vec<(Option<Arc<str>>, (HostId, ConnId))>;

/// Mishaps for a minute of writes, then peace: what was acknowledged is there, on all copies.
fn survive(seed: u64) {
    let mut cluster = Cluster::with_index(2, 1);
    let mut dice = Entropy::new(seed);
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    for number in 0..200 {
        if number % 6 == 0 {
            mishap(&mut cluster.0, &mut dice);
        }
        let (node, id) = (NODES[(dice.draw() % 3) as usize], (dice.draw() % 40).to_string());
        let write = (!dice.draw().is_multiple_of(5)).then(|| index(&id, &number.to_string()));
        let delete = ApiCall::Delete { index: articles(), id: id.clone() };
        if cluster.0.runs(node) {
            let text = write.is_some().then(|| source(&number.to_string()));
            let at = cluster.0.request(node, write.unwrap_or(delete));
            asked.entry(id).or_default().push((text, at));
        }
        cluster.pass(Duration::from_millis(dice.draw() % 600));
    }
    cluster.make_peace();
    let documents = asked.into_iter().map(|(id, asked)| assert_survived(&mut cluster, &id, asked)).count();
    assert!(documents > 20, "seed {seed} leaves something to look at");
    assert_copies_agree(&mut cluster);
}

/// The document is what the last acknowledged write made it, or what a later write made it that nobody knows
/// the end of.
fn assert_survived(cluster: &mut Cluster, id: &str, asked: Asked) {
    let mut acknowledged = BTreeMap::new();
    let mut unclear = Vec::new();
    for (text, at) in asked {
        match cluster.0.reply(at) {
            Some(Ok(answer)) => drop(acknowledged.insert(written(Ok(answer)).1, text)),
            Some(Err(error)) if error.certain => {}
            _ => unclear.push(text),
        }
    }
    let last = acknowledged.pop_last();
    match cluster.look(NODES[1], id) {
        Some(doc) if last.as_ref().is_some_and(|(seq_no, _)| *seq_no == doc.seq_no) => {
            assert_eq!(last.expect("compared").1, Some(doc.source), "{id}");
        }
        Some(doc) => {
            assert!(last.is_none_or(|(seq_no, _)| seq_no < doc.seq_no), "{id}: {doc:?} is older");
            assert!(unclear.contains(&Some(doc.source.clone())), "{id}: who wrote {doc:?}?");
        }
        None => assert!(
            last.is_none_or(|(_, text)| text.is_none()) || unclear.contains(&None),
            "{id}: an acknowledged write is lost"
        ),
    }
}

#[test]
fn acknowledged_writes_survive_mishaps() {
    // 705: a copy that had told a dead controller of its recovery never told the next one, which knew its node
    // in another session. 1353: a node waited for ever for the earlier life of a machine without power.
    for seed in (0..40).chain([705, 1353]) {
        survive(seed);
    }
}

#[test]
fn reads_go_on_while_a_replica_is_gone() {
    let mut cluster = Cluster::with_index(1, 1);
    written(cluster.index(NODES[0], "a", "one"));
    let replica = cluster.holder(false);
    cluster.0.kill(replica, Death::Process);
    let witness = other_than(&[replica]);
    for _ in 0..4 {
        assert_eq!(cluster.get(witness, "a"), Some(source("one")));
        assert_eq!(cluster.search(witness, Query::MatchAll), ["a"]);
    }
}

#[test]
fn silence_between_two_nodes_is_noticed() {
    let mut cluster = Cluster::with_index(1, 1);
    written(cluster.index(NODES[0], "a", "one"));
    let (primary, _) = cluster.primary(&shard());
    let replica = cluster.holder(false);
    let witness = other_than(&[primary, replica]);
    cluster.0.cut(witness, primary);
    for _ in 0..2 {
        assert_eq!(cluster.get(witness, "a"), Some(source("one")), "the other copy answers in the end");
    }
    let error = cluster.index(witness, "a", "two").unwrap_err();
    assert!(!error.certain, "what was sent may still arrive");

    cluster.0.heal();
    written(cluster.index(witness, "a", "three"));
    assert_eq!(cluster.get(witness, "a"), Some(source("three")));
}

#[test]
fn cluster_without_zookeeper_serves_reads_and_refuses_writes() {
    let mut cluster = Cluster::with_index(1, 1);
    written(cluster.index(NODES[0], "a", "one"));
    for server in SERVERS {
        cluster.0.kill(server, Death::Power);
    }
    cluster.pass(Duration::from_secs(10));
    let error = cluster.index(NODES[1], "a", "two").unwrap_err();
    assert_eq!((error.status, &*error.kind, error.certain), (503, "cluster_block_exception", true));
    assert_eq!(cluster.get(NODES[1], "a"), Some(source("one")));
    for server in SERVERS {
        cluster.0.start(server);
    }
    cluster.await_health(NODES[1], Health::Green, 3);
    cluster.pass(Duration::from_secs(10));
    written(cluster.index(NODES[1], "a", "two"));
}

#[test]
fn same_world_gives_the_same_events() {
    let story = || {
        let mut cluster = Cluster::with_index(2, 1);
        written(cluster.index(NODES[0], "a", "one"));
        cluster.0.kill(NODES[1], Death::Process);
        cluster.await_health(NODES[0], Health::Green, 2);
        cluster.0.events
    };
    let (first, second) = (story(), story());
    assert!(first == second, "no order is an accident");
    assert!(first.iter().any(|(_, event)| matches!(event, EventKind::PrimaryActivated { .. })));
}

#[test]
fn copies_of_a_shard_are_on_different_nodes() {
    let cluster = Cluster::with_index(3, 2);
    for number in 0..3 {
        let copies = cluster.routing().iter().filter(|copy| copy.shard.number == number);
        let mut nodes: Vec<_> = copies.filter(|copy| copy.state == CopyState::Started).collect();
        nodes.sort_by_key(|copy| copy.node);
        nodes.dedup_by_key(|copy| copy.node);
        assert_eq!(nodes.len(), 3);
    }
}

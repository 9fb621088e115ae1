//! Tests of workers — decides what one asks on a clock of the test's own. It never starts a server.

use std::time::Duration;

use super::*;
use crate::{
    core::{Address, Effect},
    name::Zxid,
    scenario::{ensemble::ZooKeeperClients, format::Scenario},
    zookeeper::wire::{Stat, WatchChange},
};

fn worker(table: ZooKeeperClients) -> Worker {
    let second = 1_000_000_000;
    let scenario = Scenario {
        title: "t".into(),
        duration: Duration::from_secs(60),
        zookeeper_clients: vec![table.clone()],
        ..Scenario::default()
    };
    let operations = arrivals::operations(&scenario.plan(1), Dice::new(1), HostId::client(2), 0);
    let agenda = Agenda::new(Instant(1_000), Instant(60 * second), operations);
    let plan = WorkerPlan {
        me: HostId::client(2),
        life: 1,
        table,
        servers: vec![HostId::zookeeper(1)],
        starts_at: Instant(1_000),
        defects: Defects::default(),
        dice: Dice::new(1),
    };
    Worker::boot(plan, agenda)
}

fn step(worker: &mut Worker, at: Instant, input: Input<Message>) -> Vec<Effect<Message>> {
    let mut out = Output::new(0);
    worker.step(Now { mono: at, wall_ms: 0 }, input, &mut out);
    out.drain().collect()
}

/// A worker with a session on a connection.
fn connected(table: ZooKeeperClients) -> (Worker, ConnId) {
    let mut worker = worker(table);
    assert!(step(&mut worker, Instant(0), Input::Start).is_empty());
    let effects = step(&mut worker, Instant(1_000), Input::Wake);
    let [Effect::Dial { conn, to: Address { .. } }] = effects[..] else { panic!("{effects:?}") };
    step(&mut worker, Instant(2_000), Input::Connected { conn });
    let frame =
        ServerFrame::Connected { timeout_ms: 4_000, session: SessionId(7), password: 1, read_only: false };
    step(&mut worker, Instant(3_000), Input::Received { conn, message: Message::FromServer(frame) });
    (worker, conn)
}

fn requests(effects: &[Effect<Message>]) -> Vec<Op> {
    let request = |effect: &Effect<Message>| match effect {
        Effect::Send { message: Message::ToServer(ClientFrame::Request { op, .. }), .. } => Some(op.clone()),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

#[test]
fn worker_dials_when_its_time_has_come() {
    let mut worker = worker(ZooKeeperClients::default());
    assert!(step(&mut worker, Instant(0), Input::Start).is_empty());
    assert_eq!(worker.next_wake(), Some(Instant(1_000)));
}

/// Answers every request in order, and steps on until all is answered.
fn answer_all(worker: &mut Worker, at: Instant, conn: ConnId, mut effects: Vec<Effect<Message>>) -> Vec<Op> {
    let mut asked = Vec::new();
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            let Effect::Send { message: Message::ToServer(ClientFrame::Request { xid, op }), .. } = effect
            else {
                continue;
            };
            let result = match op {
                Op::Exists { .. } | Op::SetData { .. } => Ok(Reply::Stat(Stat::default())),
                Op::Ping => Ok(Reply::Done),
                _ => Err(ZkError::NoNode),
            };
            asked.push(op);
            let reply = ServerFrame::Reply { xid, zxid: Zxid(1), result };
            next.extend(step(worker, at, Input::Received { conn, message: Message::FromServer(reply) }));
        }
        effects = next;
    }
    asked
}

#[test]
fn operations_come_at_the_rate_and_stop_at_the_end() {
    let mix = crate::scenario::ensemble::Mix { close: 0.0, ..Default::default() };
    let table = ZooKeeperClients { operations_per_second: 5.0, mix, ..Default::default() };
    let (mut worker, conn) = connected(table);
    let foundations: Vec<_> = worker.open.keys().copied().collect();
    assert_eq!(foundations.len(), 4);
    let mut asked = Vec::new();
    // What was asked on connecting is answered first.
    for xid in 1..=4 {
        let reply = ServerFrame::Reply { xid, zxid: Zxid(1), result: Err(ZkError::NodeExists) };
        step(&mut worker, Instant(4_000), Input::Received { conn, message: Message::FromServer(reply) });
    }
    while let Some(at) = worker.next_wake().filter(|at| *at < Instant(20_000_000_000)) {
        let effects = step(&mut worker, at, Input::Wake);
        asked.extend(answer_all(&mut worker, at, conn, effects));
    }
    let asked = asked.iter().filter(|op| **op != Op::Ping).count();
    assert!((70..=160).contains(&asked), "{asked} in 20 s");
    step(&mut worker, Instant(60_000_000_000), Input::Start);
    assert_eq!(worker.agenda.next_at(), None);
}

#[test]
fn watch_that_fires_is_left_again() {
    let (mut worker, conn) = connected(ZooKeeperClients { operations_per_second: 0.0, ..Default::default() });
    for xid in 1..=4 {
        let reply = ServerFrame::Reply { xid, zxid: Zxid(1), result: Err(ZkError::NodeExists) };
        step(&mut worker, Instant(4_000), Input::Received { conn, message: Message::FromServer(reply) });
    }
    let path = "/work/key-1".to_owned();
    worker.ask(Op::Exists { path: path.clone(), watch: true });
    let effects = step(&mut worker, Instant(4_000), Input::Start);
    answer_all(&mut worker, Instant(4_000), conn, effects);
    let event = WatchEvent { path: path.clone(), change: WatchChange::NodeDataChanged };
    let frame = ServerFrame::Notification { event, zxid: Zxid(5) };
    let effects =
        step(&mut worker, Instant(5_000), Input::Received { conn, message: Message::FromServer(frame) });
    assert_eq!(requests(&effects), [Op::GetData { path, watch: true }]);
}

#[test]
fn inspection_reads_what_is_watched_and_every_key() {
    let (mut worker, _) =
        connected(ZooKeeperClients { keys: 2, operations_per_second: 0.0, ..Default::default() });
    let watched = Op::Exists { path: "/a".into(), watch: true };
    worker.memory.answered(&watched, &Ok(Reply::Stat(Stat::default())));
    let asked = requests(&step(&mut worker, Instant(5_000), Input::Inspect));
    assert_eq!(asked[..2].iter().map(Op::path).collect::<Vec<_>>(), ["/a", "/a"]);
    assert_eq!(asked[2..].iter().map(Op::name).collect::<Vec<_>>(), ["sync", "getData", "sync", "getData"]);
}

#[test]
fn storm_leaves_the_session() {
    let every = Some(Duration::from_secs(1));
    let table = ZooKeeperClients { reopens_every: every, operations_per_second: 0.0, ..Default::default() };
    let closed = ZooKeeperClients { abandon_share: 0.0, ..table.clone() };
    let (mut worker, _) = connected(closed);
    let storm = worker.agenda.next_at().unwrap();
    assert!(requests(&step(&mut worker, storm, Input::Wake)).contains(&Op::CloseSession));

    let (mut worker, conn) = connected(ZooKeeperClients { abandon_share: 1.0, ..table });
    let effects = step(&mut worker, storm, Input::Wake);
    assert!(effects.contains(&Effect::Close { conn }));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Dial { .. })));
    assert_eq!(worker.session, None);
}

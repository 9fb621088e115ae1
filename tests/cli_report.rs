//! What a person reads after a run: the same record gives the same text, to the letter.

use std::time::Duration;

use shardarium::{
    check::verdict::{Judgement, Verdict},
    event::{CopyState, Event, EventKind, Outcome, Placement},
    name::{AllocationId, Epoch, HostId, SeqNo, SessionId, ShardId, SimTime, Term},
    report::{json, text},
    scenario::builtin,
    sim::{Figures, Run},
    trial::Trial,
};

/// Builds a record by hand.
#[derive(Default)]
struct Record(Vec<Event>);

impl Record {
    fn at(&mut self, ms: u64, host: impl Into<Option<HostId>>, kind: EventKind) -> &mut Self {
        let seq = self.0.len() as u64;
        self.0.push(Event { seq, at: SimTime(ms * 1_000_000), host: host.into(), kind });
        self
    }
}

fn shard(number: u32) -> ShardId {
    ShardId { index: "articles".into(), number }
}

fn placement(number: u32, node: u16, primary: bool, state: CopyState) -> Placement {
    Placement {
        shard: shard(number),
        node: Some(HostId::search(node)),
        allocation: Some(AllocationId(u64::from(node))),
        primary,
        state,
        in_sync: true,
        term: Term(1),
    }
}

fn published(epoch: u32, version: u64, nodes: &[u16], routing: Vec<Placement>) -> EventKind {
    let nodes = nodes.iter().copied().map(HostId::search).collect();
    EventKind::StatePublished {
        epoch: Epoch(epoch),
        version,
        nodes,
        routing,
        unlisted: vec![],
        why: "test".into(),
    }
}

fn activated(number: u32, term: u64) -> EventKind {
    EventKind::PrimaryActivated { shard: shard(number), allocation: AllocationId(1), term: Term(term) }
}

/// A small cluster that loses the node of two primaries and gets it back.
fn record() -> Vec<Event> {
    use CopyState::{Initializing, Started};
    let (zk, node) = (HostId::zookeeper, HostId::search);
    let session = SessionId(0x0100_0000_0000_0002);
    let connected = EventKind::ClientConnected { session, server: zk(3), resumed: false, read_only: false };
    let both = |state| vec![placement(0, 2, true, Started), placement(0, 3, false, state)];
    let acknowledged = |term, seq_no| EventKind::WriteAcknowledged {
        shard: shard(0),
        term: Term(term),
        seq_no: SeqNo(seq_no),
        copies: 1,
        durable: true,
    };
    let failed = |outcome| EventKind::DocCompleted {
        request: 1,
        outcome,
        seq_no: None,
        term: None,
        version: None,
        result: None,
        source: None,
        error: None,
        drawn: None,
    };
    let mut record = Record::default();
    record
        .at(
            0,
            None,
            EventKind::RunStarted {
                scenario: "First failover".into(),
                seed: 7,
                servers: vec![zk(1), zk(2), zk(3)],
                nodes: (1..=5).map(node).collect(),
                copies: 6,
                settle_bound: 1,
                read_policy: "any".into(),
                allocator: "balanced".into(),
            },
        )
        .at(310, zk(3), EventKind::LeaderEstablished { epoch: Epoch(1), history: vec![] })
        .at(350, node(2), connected)
        .at(400, node(1), EventKind::ControllerElected { epoch: Epoch(1) })
        .at(410, node(1), published(1, 1, &[1, 2, 3], vec![]))
        .at(900, node(1), published(1, 2, &[1, 2, 3], both(Initializing)))
        .at(910, node(2), activated(0, 1))
        .at(915, node(2), activated(1, 1))
        .at(
            920,
            node(3),
            EventKind::RecoveryStarted { shard: shard(0), allocation: AllocationId(3), from: "files".into() },
        )
        .at(
            960,
            node(3),
            EventKind::RecoveryCompleted { shard: shard(0), allocation: AllocationId(3), operations: 0 },
        )
        .at(1_000, node(1), published(1, 3, &[1, 2, 3], both(Started)))
        .at(1_100, node(2), acknowledged(1, 0))
        .at(
            12_000,
            None,
            EventKind::FaultBegan {
                step: 0,
                what: "primary(articles/0) loses power".into(),
                hosts: vec![node(2)],
            },
        )
        .at(
            12_000,
            node(2),
            EventKind::DiskDamaged { file: "articles/0/translog".into(), kept: 40, lost: 212, torn: true },
        )
        .at(13_000, HostId::client(1), failed(Outcome::Failed))
        .at(15_500, HostId::client(1), failed(Outcome::Unknown))
        .at(16_500, zk(3), EventKind::SessionExpired { session })
        .at(16_520, node(1), published(1, 4, &[1, 3], vec![placement(0, 3, true, Started)]))
        .at(16_525, node(3), activated(0, 2))
        .at(16_526, node(3), activated(1, 2))
        .at(16_530, node(3), EventKind::ResyncStarted { shard: shard(0), term: Term(2), operations: 5 })
        .at(16_541, node(3), EventKind::ResyncCompleted { shard: shard(0), term: Term(2) })
        .at(16_600, node(3), acknowledged(2, 9))
        .at(19_000, None, EventKind::FaultEnded { step: 0, what: "search-2 has power again".into() })
        .at(60_000, None, EventKind::QuietBegan)
        .at(75_000, None, EventKind::RunEnded);
    record.0
}

fn trial(judgements: Vec<Judgement>) -> Trial {
    let plan = builtin::DEFAULT.scenario().plan(7);
    let figures = Figures {
        events: 81_234,
        messages: 40_321,
        simulated: Duration::from_secs(75),
        wall: Duration::from_millis(187),
        cpu: None,
    };
    let run = Run { events: record(), fingerprint: 0xfeed, figures, loose_dice: Vec::new() };
    Trial { plan, run, judgements, goals: vec!["primary-promoted"] }
}

fn judged(law: &str, verdict: Verdict) -> Judgement {
    Judgement { law: law.into(), verdict }
}

fn broken() -> Verdict {
    Verdict::Fail { seq: 21, at: SimTime(16_541_000_000), why: "write 3 is gone\nseen on search-3".into() }
}

fn stripped(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn report_of_a_passing_run_tells_the_story() {
    let trial = trial(vec![judged("law.a", Verdict::Pass), judged("law.b", Verdict::Pass)]);
    insta::assert_snapshot!(stripped(&text::report(&trial, "shardarium run first-failover --seed 7")));
}

#[test]
fn report_of_a_failing_run_says_why_and_where() {
    let unknown = Verdict::Unknown { budget: "100000 states".into() };
    let trial = trial(vec![judged("law.a", broken()), judged("law.b", unknown)]);
    let report = stripped(&text::report(&trial, "shardarium run first-failover --seed 7"));
    for part in [
        "16.541 s  law        law.a is broken",
        "law.a is broken at 16.541000 s (event 21):\n    write 3 is gone\n    seen on search-3",
        "law.b is undecided: 100000 states",
        "1 of 2 laws are broken.",
        "shardarium run first-failover --seed 7",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
}

#[test]
fn explanation_names_seed_law_and_reason() {
    let trial = trial(vec![judged("law.a", broken()), judged("law.b", Verdict::Pass)]);
    let panic = std::panic::catch_unwind(|| trial.assert_holds()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    for part in ["First failover, seed 7", "law.a is broken", "write 3 is gone", "fingerprint"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn passing_trial_holds() {
    trial(vec![judged("law.a", Verdict::Pass)]).assert_holds();
}

#[test]
fn json_report_carries_verdicts_and_failovers() {
    let trial = trial(vec![judged("law.a", Verdict::Pass)]);
    let report: serde_json::Value = serde_json::from_str(&json::report(&trial, "again")).unwrap();
    assert_eq!(report["verdict"], "pass");
    assert_eq!(report["laws"][0]["law"], "law.a");
    assert_eq!(report["failovers"][0]["of"], "articles/0");
    assert_eq!(report["failovers"][0]["at_seconds"], 12.0);
    assert_eq!(report["failovers"][0]["detected_seconds"], 4.5);
    assert_eq!(report.get("explanation"), None);
    assert_eq!(report["fingerprint"], "0000000000000000000000000000feed");
}

#[test]
fn json_report_of_a_failing_run_explains_it() {
    let trial = trial(vec![judged("law.a", broken()), judged("law.b", Verdict::Pass)]);
    let report: serde_json::Value = serde_json::from_str(&json::report(&trial, "again")).unwrap();
    assert_eq!(report["laws"][0]["at_seconds"], 16.541);
    let lines = report["explanation"].as_array().unwrap();
    let last = serde_json::json!({
        "seq": 21, "at_seconds": 16.541, "host": "search-3", "part": "break", "event": "ResyncCompleted",
        "what": "ResyncCompleted shard articles/0 term 2",
    });
    assert_eq!(lines.last(), Some(&last));
    let parts: Vec<&str> = lines.iter().filter_map(|line| line["part"].as_str()).collect();
    assert!(parts.contains(&"cause") && parts.contains(&"context"), "{lines:?}");
}

#[test]
fn long_timeline_is_cut_in_the_middle() {
    let mut long = Record::default();
    for number in 0..500 {
        let what = format!("fault {number}");
        long.at(number * 2_000, None, EventKind::FaultBegan { step: 0, what, hosts: vec![] });
    }
    let mut trial = trial(vec![]);
    trial.run.events = long.0;
    let report = stripped(&text::report(&trial, "again"));
    assert!(report.contains("fault 0") && report.contains("fault 499"), "{report}");
    assert!(report.contains("… 431 more lines") && report.lines().count() < 110, "{report}");
}

#[test]
fn explanation_of_any_failure_fits_sixty_lines() {
    let mut events = Record::default();
    for number in 0..300 {
        let why = EventKind::RoleLost { why: "a reason\nof two lines".into() };
        events.at(1_000 + number, HostId::zookeeper(1 + (number % 3) as u16), why);
    }
    let laws = (0..20).map(|law| judged(&format!("law.{law}"), broken()));
    let mut trial = trial(laws.collect());
    trial.run.events = events.0;
    let page = shardarium::report::explain::page(&trial, Some("shardarium run x --seed 7"));
    assert!(page.lines().count() <= shardarium::report::explain::LINES_MAX, "{page}");
    for part in ["law.0", "again: shardarium run x --seed 7", "fingerprint", "gives its role up"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

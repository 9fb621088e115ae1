//! Tests of the rules of the recipe (SEARCH.md a.3) — decides, one test a rule, whether a node keeps to it. It
//! never tests what follows from a rule; the other files do.

use super::*;

/// "Leader/registration token = (czxid or parent version, session id), never the content": a node that is
/// back within its session timeout finds its own old ticket first in the queue, and does not lead by it.
#[test]
fn leader_token_is_of_the_session_and_never_the_content() {
    let mut bench = green(&[]);
    let old = bench.core(A).control.client.session().unwrap();
    bench.start(A, node(A, &[]));
    bench.run(seconds(1));
    let number = |name: &String| name.rsplit('_').next().unwrap_or_default().to_owned();
    let first = bench.fake.children(ELECTION).into_iter().min_by_key(number);
    assert!(first.unwrap().starts_with(&format!("{:016x}", old.0)), "the old ticket is still the lowest");
    assert_eq!(elected(&bench, A), [Epoch(1)], "only in its former life");
    bench.run(seconds(8));
    assert_eq!(elected(&bench, B), [Epoch(2)]);
}

/// The same of a registration: the old life's znode is not the new life's.
#[test]
fn registration_token_is_the_owner_session_and_never_the_name() {
    let mut bench = green(&[]);
    let path = format!("{}/{C}", discovery::NODES);
    let old = bench.fake.stat(&path).unwrap().ephemeral_owner;
    bench.start(C, node(C, &[]));
    bench.run(seconds(1));
    assert_eq!(bench.fake.stat(&path).unwrap().ephemeral_owner, old);
    let registered = |bench: &Bench<Node>| {
        let is_it = |event: &&EventKind| matches!(event, EventKind::NodeRegistered { .. });
        bench.notes(Some(C)).filter(is_it).count()
    };
    assert_eq!(registered(&bench), 1, "only in its former life");
    bench.run(seconds(8));
    assert_eq!(registered(&bench), 2);
    assert_ne!(bench.fake.stat(&path).unwrap().ephemeral_owner, old);
}

/// KAFKA-1387, KAFKA-7165: what the check is for.
#[test]
fn node_that_skips_the_ownership_check_vanishes_with_its_old_session() {
    let mut bench = green(&[]);
    bench.start(C, node(C, &[Defect::SkipsOwnershipCheck]));
    bench.run(seconds(12));
    assert!(bench.fake.stat(&format!("{}/{C}", discovery::NODES)).is_none());
}

/// "Every leader-only write is a `multi` with check(token)": nobody writes the state in another way.
#[test]
fn leader_only_writes_check_the_token() {
    let mut bench = green(&[]);
    bench.kill(A);
    wish(&mut bench, C, 9, "books");
    bench.run(seconds(10));
    let mut writes = 0;
    for op in &bench.fake.asked {
        assert!(
            !matches!(op, Op::SetData { path, .. } if path == STATE),
            "a bare write of the state: {op:?}"
        );
        let Op::Multi(ops) = op else { continue };
        if ops.iter().any(|op| matches!(op, Op::SetData { path, .. } if path == STATE)) {
            writes += 1;
            let checks = matches!(&ops[0], Op::Check { path, version } if path == discovery::CONTROLLER_EPOCH && *version > 0);
            assert!(checks, "{ops:?}");
        }
    }
    assert!(writes > 3, "states were written");
}

/// "Epoch (term) is drawn from a persistent counter by CAS **before** acting as master"
#[test]
fn epoch_is_drawn_by_compare_and_set_before_acting() {
    let bench = cluster(&[]);
    let draws = |op: &Op| matches!(op, Op::SetData { path, version, .. } if path == discovery::CONTROLLER_EPOCH && *version >= 0);
    let acts = |op: &Op| matches!(op, Op::Multi(ops) if ops.iter().any(|op| matches!(op, Op::SetData { path, .. } if path == STATE)));
    let drawn = bench.fake.asked.iter().position(draws).expect("an epoch is drawn");
    let acted = bench.fake.asked.iter().position(acts).expect("a state is written");
    assert!(drawn < acted);
}

/// "Lost leadership must be assumed locally at `session_timeout × 2/3` (client side) without server contact"
#[test]
fn lost_leadership_is_assumed_at_two_thirds_of_the_session_timeout() {
    let mut bench = green(&[]);
    bench.silence(A);
    bench.run(Duration::from_millis(1_000));
    assert!(is_alive(&mut bench, A), "the last contact is at most a third of 4 s old");
    bench.run(Duration::from_millis(1_700));
    assert!(!is_alive(&mut bench, A), "2/3 of 4 s have passed");
}

/// A process that wakes from a pause may be asked something before it has looked at a clock or a socket: what
/// it believes is for this moment.
#[test]
fn process_that_wakes_late_is_certain_of_nothing() {
    let mut bench = green(&[]);
    assert!(is_alive(&mut bench, B));
    bench.pause(B);
    bench.run(seconds(3));
    assert!(!is_alive(&mut bench, B), "without having stepped");
}

/// "A watch fires at most once, may coalesce several changes …": reading and arming is one request, and what
/// an event says is only "look again".
#[test]
fn read_and_watch_are_one_request() {
    let mut bench = green(&[]);
    bench.fake.heard.clear();
    wish(&mut bench, C, 9, "books");
    bench.run(seconds(1));
    let reads = |op: &&Op| matches!(op, Op::GetData { path, watch: true } if path == STATE);
    assert!(bench.fake.heard.iter().filter(reads).count() >= 3, "each node reads anew, with a watch");
    let is_apart = |op: &Op| matches!(op, Op::Exists { path, .. } if path == STATE);
    assert!(!bench.fake.heard.iter().any(is_apart), "no watch is left apart from a read");
}

/// "`sync` before read where the decision needs the newest value"
#[test]
fn read_that_decides_comes_behind_a_sync() {
    let bench = cluster(&[]);
    let unwatched = |op: &Op| matches!(op, Op::GetData { path, watch: false } if path == STATE);
    let at = bench.fake.heard.iter().position(unwatched).expect("a controller reads what it takes over");
    let before = &bench.fake.heard[..at];
    let synced = before.iter().rev().take(2).any(|op| matches!(op, Op::Sync { path } if path == STATE));
    assert!(synced, "{before:?}");
}

//! Explanations — decides whether the printed explanation of a historic bug tells its story: the events that the broken
//! law is about, marked as causes where they can be. It never looks at what else is shown.

use shardarium::{
    defect::Defect,
    report::explain::{LINES_MAX, Part, explanation, plain_page},
    scenario::builtin,
    trial::{Trial, run},
};

/// The run of a scenario with a historic bug in it, at a seed at which it breaks a law.
fn broken(scenario: &str, seed: u64, defect: &str) -> Trial {
    let mut plan = builtin::named(scenario).unwrap().scenario().plan(seed);
    plan.defects.0.insert(Defect::named(defect).unwrap());
    run(&plan).unwrap()
}

/// Expects lines that hold all of these words, in this order, each a cause or not.
#[track_caller]
fn assert_tells(trial: &Trial, story: &[(Part, &[&str])]) {
    let page = plain_page(trial, Some("shardarium run x --seed 0"));
    assert!(page.lines().count() <= LINES_MAX, "{page}");
    let mut lines = explanation(trial).into_iter().map(|(event, part, what)| {
        let host = event.host.map_or("world".to_owned(), |host| host.to_string());
        (part, format!("{host} {what}"))
    });
    for (part, words) in story {
        let tells = |line: &(Part, String)| line.0 == *part && words.iter().all(|word| line.1.contains(word));
        assert!(lines.any(|line| tells(&line)), "{part:?} {words:?}\n{page}");
    }
    assert_eq!(lines.next(), None, "the break is last\n{page}");
}

#[test]
fn tombstone_that_is_dropped_at_once() {
    let trial = broken("documents-delete-and-reorder", 0, "drops-tombstones-at-once");
    assert_tells(
        &trial,
        &[
            (Part::Cause, &["PrimaryAppended", "id doc-0", "seq_no 1008"]),
            (Part::Cause, &["PrimaryAppended", "id doc-0", "seq_no 1009"]),
            (Part::Cause, &["search-1 ReplicaAppended", "seq_no 1009"]),
            (Part::Cause, &["search-1 TombstonesPruned"]),
            (Part::Cause, &["search-1 ReplicaAppended", "seq_no 1008"]),
            (Part::Cause, &["DocInvoked request 310 of client-2", "doc-0"]),
            (Part::Break, &["DocCompleted request 310 of client-2", "seq_no 1008"]),
        ],
    );
}

#[test]
fn watches_that_are_not_set_again() {
    let trial = broken("zk-watch-storm", 0, "watches-not-set-again");
    assert_tells(
        &trial,
        &[
            (Part::Cause, &["world crash of zk-follower: zk-1"]),
            (Part::Cause, &["zk-1 HostCrashed"]),
            (Part::Cause, &["client-6 ClientDisconnected session 0x100004a231a0007"]),
            (Part::Cause, &["client-6 ClientConnected session 0x100004a231a0007"]),
            (Part::Break, &["client-6 ClientNotified session 0x100004a231a0007", "/work/key-1"]),
        ],
    );
}

#[test]
fn replica_that_skips_a_refresh() {
    let trial = broken("search-queries", 0, "replica-skips-refresh");
    assert_tells(
        &trial,
        &[
            (Part::Cause, &["DocInvoked", "id doc-30", "with refresh="]),
            (Part::Cause, &["search-2 PrimaryAppended shard articles/2", "seq_no 2"]),
            (Part::Cause, &["search-2 CopyRefreshed shard articles/2", "up_to 2"]),
            (Part::Break, &["SearchCompleted", "copy 100000006"]),
        ],
    );
}

#[test]
fn disk_that_refuses_a_write() {
    let trial = broken("zk-disk-faults", 0, "zk-ignores-disk-failure");
    assert_tells(
        &trial,
        &[
            (Part::Cause, &["world failing writes for transaction logs of zk-leader: zk-5"]),
            (Part::Cause, &["zk-5 DiskFailed file log.100000091"]),
            (Part::Break, &["zk-5 TxnProposed", "zxid 0x100000092"]),
        ],
    );
}

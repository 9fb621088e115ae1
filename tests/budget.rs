//! What a run has promised to survive survives: faults beyond the budget are left out.

use shardarium::{
    event::EventKind,
    scenario::{check::Vocabulary, read::read},
    sim::run,
};

const HEAD: &str =
    "title = \"t\"\nduration = \"20s\"\n[cluster]\nsearch = 3\n[[indices]]\nname = \"articles\"\n";

fn events(faults: &str) -> Vec<EventKind> {
    let scenario =
        read("t.toml", &format!("{HEAD}{faults}"), &Vocabulary::current()).expect("a sound scenario");
    let record = run(&scenario.plan(3)).expect("a run");
    record.events.into_iter().map(|event| event.kind).collect()
}

fn missed(events: &[EventKind]) -> Vec<&str> {
    let missed = events.iter().filter_map(|event| match event {
        EventKind::FaultMissed { what, .. } => Some(&what[..]),
        _ => None,
    });
    missed.collect()
}

#[test]
fn second_server_of_three_is_spared() {
    let faults = "[budget]\nquorum = true\n[[faults]]\nat = \"5s\"\ncrash = \"zk-1\"\nlasts = \"8s\"\n\
                  [[faults]]\nat = \"6s\"\npause = \"zk-2\"\nlasts = \"1s\"\n\
                  [[faults]]\nat = \"15s\"\npause = \"zk-2\"\nlasts = \"1s\"\n";
    let events = events(faults);
    assert_eq!(missed(&events), ["pause of zk-2: only 1 of 3 servers would be left"]);
    assert_eq!(events.iter().filter(|event| matches!(event, EventKind::HostPaused)).count(), 1);
}

/// A server that has just been started again may lack what the two others have committed without it.
#[test]
fn disk_is_spared_while_another_server_does_not_follow_yet() {
    let faults = "[budget]\nquorum = true\n[[faults]]\nat = \"5s\"\ncrash = \"zk-1\"\npower = true\nlasts = \"1s\"\n\
                  [[faults]]\nat = \"6s 1ms\"\nwipe = \"zk-2\"\nlasts = \"100ms\"\n\
                  [[faults]]\nat = \"12s\"\nwipe = \"zk-2\"\nlasts = \"100ms\"\n";
    let events = events(faults);
    assert_eq!(missed(&events), ["loss of the disk of zk-2: only 1 of 3 servers would be left"]);
    assert_eq!(events.iter().filter(|event| matches!(event, EventKind::DiskWiped)).count(), 1);
}

#[test]
fn last_good_copy_is_spared_until_another_one_is_built() {
    let faults = "[budget]\ncopies = true\n\
                  [[faults]]\nat = \"8s\"\nwipe = \"replica(articles/0)\"\nlasts = \"100ms\"\n\
                  [[faults]]\nat = \"8050ms\"\nrot = \"primary(articles/0)\"\n";
    assert_eq!(missed(&events(faults)).len(), 1);
}

#[test]
fn fault_without_a_budget_strikes_whatever_it_harms() {
    let faults = "[[faults]]\nat = \"5s\"\ncrash = \"zookeeper\"\nlasts = \"1s\"\n";
    let events = events(faults);
    let crashed = events.iter().filter(|event| matches!(event, EventKind::HostCrashed { .. })).count();
    assert_eq!((missed(&events).len(), crashed), (0, 3));
}

#[test]
fn named_faults_are_healed_before_their_time() {
    let faults = "[[faults]]\nname = \"apart\"\nat = \"5s\"\ncut = \"zk-1\"\nlasts = \"10s\"\n\
                  [[faults]]\nat = \"6s\"\npause = \"zk-2\"\nlasts = \"4s\"\n\
                  [[faults]]\nat = \"7s\"\nheal = \"apart\"\n";
    let events = events(faults);
    let ended: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            EventKind::FaultEnded { what, .. } => Some(&what[..]),
            _ => None,
        })
        .collect();
    assert_eq!(ended, ["cut between zk-1 and all others", "heal of apart", "pause of zk-2"]);
}

#[test]
fn rolling_restart_takes_one_node_at_a_time() {
    let faults = "[[faults]]\nat = \"3s\"\ncrash = \"search\"\nlasts = \"1s\"\nrolling = \"2s\"\n";
    let (mut down, mut crashes) = (0, 0);
    for event in events(faults) {
        match event {
            EventKind::HostCrashed { .. } => {
                (down, crashes) = (down + 1, crashes + 1);
                assert_eq!(down, 1);
            }
            EventKind::HostStarted { incarnation } if incarnation > 1 => down -= 1,
            _ => {}
        }
    }
    assert_eq!(crashes, 3);
}

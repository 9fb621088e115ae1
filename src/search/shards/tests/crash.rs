//! Crashes: a node dies between any two effects, and what was acknowledged is still there.

use super::harness::{A, B, Cluster, Loss, config, index};
use crate::{event::CopyState, name::HostId, search::shards::WriteCall};

/// Twelve writes under a flush every five; gives what was acknowledged: id and expected text, none for a
/// deleted one; an unacknowledged write of an id makes it uncertain.
fn workload(cluster: &mut Cluster) -> Vec<(String, Option<String>)> {
    let mut tokens = Vec::new();
    for n in 0..12 {
        if !cluster.is_alive(A) || !cluster.is_alive(B) {
            break;
        }
        let id = (n % 5).to_string();
        let text = format!("text{n}");
        let (call, text) =
            if n % 4 == 3 { (WriteCall::delete(&*id), None) } else { (index(&id, &text), Some(text)) };
        tokens.push((cluster.write(A, call), id, text));
        cluster.run();
    }
    let mut acknowledged = Vec::new();
    for (token, id, text) in tokens {
        acknowledged.retain(|(other, _)| *other != id);
        if cluster.acknowledged(token).is_some() {
            acknowledged.push((id, text));
        }
    }
    acknowledged
}

fn flushing() -> crate::search::shards::ShardsConfig {
    let mut config = config();
    config.search.flush_operations = 5;
    config
}

fn assert_held(cluster: &mut Cluster, host: HostId, wanted: &[(String, Option<String>)], case: &str) {
    for (id, text) in wanted {
        let held = cluster.get(host, id);
        let as_wanted = match (text, &held) {
            (Some(text), Some(held)) => held.contains(&format!("\"{text}\"")),
            (None, None) => true,
            _ => false,
        };
        assert!(as_wanted, "{case}: {id} is {held:?}, acknowledged was {text:?}");
    }
}

#[test]
fn sole_primary_crashes_after_any_effect_and_loses_nothing_acknowledged() {
    let mut whole = Cluster::with_copies(1, flushing());
    let began = whole.effects_done(A).unwrap();
    workload(&mut whole);
    let effects = whole.effects_done(A).unwrap() - began;
    assert!(whole.happened(A, "CopyFlushed") && effects > 80, "{effects}");
    for cut in 0..=effects {
        for loss in [Loss::All, Loss::Nothing, Loss::Torn] {
            let mut cluster = Cluster::with_copies(1, flushing());
            cluster.die_after(A, cut);
            let acknowledged = workload(&mut cluster);
            if cluster.is_alive(A) {
                cluster.kill(A);
            }
            cluster.restart(A, loss);
            let table = cluster.table_mut();
            table.copies[0].state = CopyState::Initializing;
            table.term = table.term.next();
            cluster.events.clear();
            cluster.publish();
            assert!(cluster.happened(A, "PrimaryActivated"), "{loss:?} after {cut}: {:?}", cluster.events);
            assert_held(&mut cluster, A, &acknowledged, &format!("{loss:?} after {cut}"));
            let token = cluster.write(A, index("after", "x"));
            cluster.run();
            assert!(cluster.acknowledged(token).is_some());
            let (docs, searchable) = cluster.inspect(A).unwrap();
            assert_eq!(docs.iter().filter(|doc| doc.source.is_some()).count(), searchable.len());
        }
    }
}

#[test]
fn replica_crashes_after_any_effect_and_is_brought_level_from_its_disk() {
    let mut whole = Cluster::with_copies(2, flushing());
    let began = whole.effects_done(B).unwrap();
    workload(&mut whole);
    let effects = whole.effects_done(B).unwrap() - began;
    for cut in 0..=effects {
        for loss in [Loss::All, Loss::Torn] {
            let mut cluster = Cluster::with_copies(2, flushing());
            cluster.die_after(B, cut);
            // Nobody tells the controller: the node returns with its copy still in the in-sync set.
            cluster.controller_acts = false;
            workload(&mut cluster);
            if cluster.is_alive(B) {
                cluster.kill(B);
            }
            cluster.restart(B, loss);
            let held = cluster.copy_on(B);
            cluster.reports.clear();
            cluster.controller_acts = true;
            cluster.table_mut().copies.iter_mut().find(|copy| copy.allocation == Some(held)).unwrap().state =
                CopyState::Initializing;
            cluster.publish();
            cluster.pass(std::time::Duration::from_secs(3));
            let started = cluster.table().copies.iter().all(|copy| copy.state == CopyState::Started);
            assert!(started, "{loss:?} after {cut}");
            let token = cluster.write(A, index("after", "x"));
            cluster.run();
            assert_eq!(cluster.acknowledged(token).unwrap().copies.0, cluster.table().copies.len() as u32);
            if cluster.table().copies.len() == 2 {
                cluster.assert_copies_equal(&[A, B]);
            }
        }
    }
}

#[test]
fn primary_crashes_after_any_effect_and_the_replica_has_what_was_acknowledged() {
    let mut whole = Cluster::with_copies(2, flushing());
    let began = whole.effects_done(A).unwrap();
    workload(&mut whole);
    let effects = whole.effects_done(A).unwrap() - began;
    for cut in 0..=effects {
        let mut cluster = Cluster::with_copies(2, flushing());
        cluster.die_after(A, cut);
        let acknowledged = workload(&mut cluster);
        let dead = cluster.copy_on(A);
        if cluster.is_alive(A) {
            cluster.kill(A);
        }
        cluster.run();
        cluster.mark_failed(dead);
        cluster.publish();
        assert_held(&mut cluster, B, &acknowledged, &format!("after {cut}"));
        // The old primary's node returns and gets a new copy.
        cluster.restart(A, Loss::Torn);
        cluster.add_copy(A, CopyState::Initializing);
        cluster.publish();
        cluster.pass(std::time::Duration::from_secs(1));
        cluster.assert_copies_equal(&[B, A]);
    }
}

/// Both copies die at any point; either alone must have everything acknowledged.
#[test]
fn either_copy_alone_has_what_was_acknowledged() {
    for cut in (0..150).step_by(3) {
        for survivor in [A, B] {
            let mut cluster = Cluster::with_copies(2, flushing());
            cluster.die_after(survivor, cut);
            let acknowledged = workload(&mut cluster);
            for host in [A, B] {
                if cluster.is_alive(host) {
                    cluster.kill(host);
                }
            }
            let in_sync = cluster.table().in_sync.clone();
            let kept = cluster.table().copies.iter().find(|copy| copy.node == Some(survivor)).cloned();
            let Some(mut kept) = kept.filter(|kept| in_sync.contains(&kept.allocation.unwrap())) else {
                continue;
            };
            cluster.restart(survivor, Loss::All);
            (kept.primary, kept.state) = (true, CopyState::Initializing);
            let table = cluster.table_mut();
            table.copies = vec![kept];
            table.term = table.term.next();
            cluster.reports.clear();
            cluster.publish();
            assert_held(&mut cluster, survivor, &acknowledged, &format!("{survivor} after {cut}"));
        }
    }
}

//! Gets under the read policies that only the primary may answer.

use std::time::Duration;

use super::harness::{A, B, C, Cluster, config, index};
use crate::{
    event::EventKind,
    name::HostId,
    scenario::plan::ReadPolicy::{Any, Lease, Primary},
    search::shards::ShardRefusal,
};

fn told(cluster: &mut Cluster, token: u64) -> Option<Result<Option<String>, ShardRefusal>> {
    let got = cluster.got.remove(&token)?;
    Some(got.map(|doc| doc.map(|doc| doc.source.to_string())))
}

fn text(of: &str) -> Option<Result<Option<String>, ShardRefusal>> {
    Some(Ok(Some(format!("{{\"text\":\"{of}\"}}"))))
}

fn not_here() -> Option<Result<Option<String>, ShardRefusal>> {
    Some(Err(ShardRefusal::NotHere { certain: true }))
}

fn cut_off(cluster: &mut Cluster, one: HostId, others: &[HostId]) {
    others.iter().for_each(|other| cluster.cut(one, *other));
}

/// "Realtime GET … not linearizable: dirty and stale reads possible"; not under the policies of ours.
#[test]
fn write_that_is_not_on_every_copy_is_shown_only_by_any() {
    for policy in [Any, Primary, Lease] {
        let mut cluster = Cluster::with_copies(2, config());
        cluster.cut(A, B);
        cluster.write(A, index("1", "dirty"));
        cluster.run();
        let token = cluster.ask(A, "1", policy);
        cluster.run();
        let dirty = told(&mut cluster, token);
        if policy == Any {
            assert_eq!(dirty, text("dirty"));
            continue;
        }
        assert_eq!(dirty, None, "{policy:?}");
        cluster.heal();
        cluster.break_connection(A, B);
        cluster.pass(Duration::from_millis(100));
        assert_eq!(told(&mut cluster, token), text("dirty"), "{policy:?}");
    }
}

#[test]
fn missing_document_is_told_as_missing() {
    for policy in [Any, Primary, Lease] {
        let mut cluster = Cluster::with_copies(2, config());
        let token = cluster.ask(A, "1", policy);
        cluster.run();
        assert_eq!(told(&mut cluster, token), Some(Ok(None)), "{policy:?}");
    }
}

#[test]
fn replica_refuses_what_only_the_primary_answers() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "a"));
    cluster.run();
    for policy in [Primary, Lease] {
        let token = cluster.ask(B, "1", policy);
        assert_eq!(told(&mut cluster, token), not_here());
    }
    let token = cluster.ask(B, "1", Any);
    assert_eq!(told(&mut cluster, token), text("a"));
}

#[test]
fn deposed_primary_that_does_not_know_it_answers_nothing() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.write(A, index("1", "old"));
    cluster.run();
    cluster.sees_states(A, false);
    let deposed = cluster.copy_on(A);
    cluster.mark_failed(deposed);
    cluster.publish();
    cluster.run();
    cluster.write(B, index("1", "new"));
    cluster.run();
    let token = cluster.ask(A, "1", Primary);
    cluster.run();
    assert_eq!(told(&mut cluster, token), not_here());
    assert!(cluster.happened(A, "PrimaryDeactivated"), "the others have told it");
    let token = cluster.ask(B, "1", Primary);
    cluster.run();
    assert_eq!(told(&mut cluster, token), text("new"));
}

#[test]
fn get_that_a_copy_does_not_confirm_ends_without_an_answer() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.write(A, index("1", "a"));
    cluster.run();
    cut_off(&mut cluster, A, &[B, C]);
    cluster.controller_acts = false;
    let token = cluster.ask(A, "1", Primary);
    cluster.run();
    assert_eq!(told(&mut cluster, token), None);
    cluster.pass(Duration::from_secs(3));
    assert_eq!(told(&mut cluster, token), not_here());
}

#[test]
fn copy_on_no_node_is_taken_out_before_a_get_is_answered() {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.write(A, index("1", "a"));
    cluster.run();
    cluster.kill(B);
    let lost = cluster.copy_on(B);
    let entry = cluster.table_mut().copies.iter_mut().find(|copy| copy.allocation == Some(lost)).unwrap();
    (entry.node, entry.state) = (None, crate::event::CopyState::Unassigned);
    cluster.publish();
    cluster.run();
    assert!(cluster.table().in_sync.contains(&lost), "nothing has been written since");
    let token = cluster.ask(A, "1", Primary);
    cluster.run();
    assert_eq!(told(&mut cluster, token), text("a"));
    assert!(!cluster.table().in_sync.contains(&lost));
}

#[test]
fn get_shows_only_what_the_new_primary_has_resent() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.cut(A, C);
    cluster.write(A, index("1", "on the next primary only"));
    cluster.run();
    let dead = cluster.copy_on(A);
    cluster.kill(A);
    cluster.mark_failed(dead);
    cluster.cut(B, C);
    cluster.controller_acts = false;
    cluster.publish();
    cluster.run();
    let token = cluster.ask(B, "1", Lease);
    cluster.run();
    assert_eq!(told(&mut cluster, token), None, "the resync is under way");
    cluster.heal();
    cluster.break_connection(B, C);
    cluster.pass(Duration::from_millis(100));
    assert_eq!(told(&mut cluster, token), text("on the next primary only"));
    let resynced = |event: &EventKind| matches!(event, EventKind::ResyncCompleted { .. });
    assert!(cluster.events.iter().any(|(host, event)| *host == B && resynced(event)));
}

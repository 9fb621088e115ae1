//! Refresh policies of writes, the refresh interval, and active copies.

use std::time::Duration;

use super::harness::{A, B, Cluster, config, index};
use crate::{
    event::CopyState,
    search::{
        api::{ActiveShards, RefreshPolicy},
        shards::{ShardRefusal, WriteCall},
    },
};

fn with(refresh: RefreshPolicy, id: &str) -> WriteCall {
    WriteCall { refresh, ..index(id, "x") }
}

fn found(cluster: &mut Cluster) -> [u64; 2] {
    [A, B].map(|host| cluster.search(host))
}

/// Two copies that have both just been searched, so that the next refresh is due in 500 ms.
fn searched() -> Cluster {
    let mut cluster = Cluster::with_copies(2, config());
    cluster.pass(Duration::from_millis(1_500));
    found(&mut cluster);
    cluster
}

fn switched_off(cluster: &mut Cluster) {
    let settings = [("index.refresh_interval".to_owned(), "-1".to_owned())];
    cluster.set(settings.into());
}

/// "`refresh=true`": searchable on every copy when it is answered, and told so.
#[test]
fn immediate_refresh_is_searchable_on_every_copy_when_answered() {
    let mut cluster = searched();
    let token = cluster.write(A, with(RefreshPolicy::Immediate, "1"));
    cluster.run();
    assert!(cluster.acknowledged(token).unwrap().forced_refresh);
    assert_eq!(found(&mut cluster), [1, 1]);
    let token = cluster.write(A, index("2", "x"));
    cluster.run();
    assert!(!cluster.acknowledged(token).unwrap().forced_refresh);
    assert_eq!(found(&mut cluster), [1, 1]);
}

/// "`refresh=wait_for`": answered when the next refresh has made it searchable.
#[test]
fn write_that_waits_is_answered_when_the_next_refresh_is_due() {
    let mut cluster = searched();
    let token = cluster.write(A, with(RefreshPolicy::WaitFor, "1"));
    cluster.run();
    assert_eq!(cluster.acknowledged(token), None);
    cluster.pass(Duration::from_millis(600));
    assert!(!cluster.acknowledged(token).unwrap().forced_refresh);
    assert_eq!(found(&mut cluster), [1, 1]);
}

#[test]
fn any_refresh_ends_the_waiting() {
    let mut cluster = searched();
    switched_off(&mut cluster);
    let token = cluster.write(A, with(RefreshPolicy::WaitFor, "1"));
    cluster.pass(Duration::from_secs(90));
    assert_eq!(cluster.acknowledged(token), None, "nothing refreshes by itself");
    cluster.write(A, with(RefreshPolicy::Immediate, "2"));
    cluster.run();
    assert!(cluster.acknowledged(token).is_some());
}

#[test]
fn too_many_that_wait_force_a_refresh() {
    let mut cluster = searched();
    switched_off(&mut cluster);
    let waiting: Vec<_> =
        (0..1_000).map(|n: u32| cluster.write(A, with(RefreshPolicy::WaitFor, &n.to_string()))).collect();
    cluster.run();
    assert_eq!(cluster.acknowledged(waiting[0]), None);
    let last = cluster.write(A, with(RefreshPolicy::WaitFor, "last"));
    cluster.run();
    assert!(cluster.acknowledged(last).unwrap().forced_refresh);
    assert!(waiting.iter().all(|token| cluster.acknowledged(*token).is_some()));
}

#[test]
fn deposed_primary_answers_what_is_on_every_copy() {
    let mut cluster = searched();
    switched_off(&mut cluster);
    let token = cluster.write(A, with(RefreshPolicy::WaitFor, "1"));
    cluster.run();
    let deposed = cluster.copy_on(A);
    cluster.mark_failed(deposed);
    cluster.publish();
    assert!(cluster.acknowledged(token).is_some());
}

#[test]
fn interval_that_is_switched_off_refreshes_nothing() {
    let mut cluster = searched();
    switched_off(&mut cluster);
    cluster.write(A, index("1", "x"));
    cluster.pass(Duration::from_secs(90));
    assert_eq!(found(&mut cluster), [0, 0]);
}

/// "wait_for_active_shards: default 1; checks before the op only".
#[test]
fn write_begins_only_with_enough_active_copies() {
    let mut cluster = Cluster::with_copies(2, config());
    let write = |cluster: &mut Cluster, wanted| {
        let token = cluster.write(A, WriteCall { active_shards: Some(wanted), ..index("1", "x") });
        cluster.run();
        cluster.written.remove(&token).unwrap()
    };
    for enough in [ActiveShards::AtLeast(0), ActiveShards::AtLeast(2), ActiveShards::All] {
        assert!(write(&mut cluster, enough).is_ok());
    }
    let refused = write(&mut cluster, ActiveShards::AtLeast(3));
    let why = "Not enough active copies to meet shard count of [3] (have 2, needed 3).";
    assert_eq!(refused, Err(ShardRefusal::Unavailable(why.to_owned())));
    let lost = cluster.copy_on(B);
    cluster.kill(B);
    cluster.mark_failed(lost);
    cluster.publish();
    let needs_all = [("index.write.wait_for_active_shards".to_owned(), "2".to_owned())];
    cluster.set(needs_all.into());
    let token = cluster.write(A, index("2", "x"));
    cluster.run();
    assert!(matches!(cluster.written[&token], Err(ShardRefusal::Unavailable(_))));
    assert!(write(&mut cluster, ActiveShards::AtLeast(1)).is_ok());
}

/// D29: "refresh skips a copy whose state is behind". The primary knows the copies, not whoever asks.
#[test]
fn refresh_reaches_a_copy_that_the_state_does_not_show_as_started() {
    let mut cluster = Cluster::with_copies(1, config());
    switched_off(&mut cluster);
    cluster.write(A, index("1", "x"));
    cluster.controller_acts = false;
    cluster.add_copy(B, CopyState::Initializing);
    cluster.publish();
    cluster.run();
    cluster.write(A, index("2", "x"));
    cluster.run();
    let token = cluster.refresh(A);
    cluster.run();
    assert_eq!(cluster.refreshed[&token], Ok((2, 2)));
    cluster.controller_acts = true;
    cluster.run();
    assert_eq!(found(&mut cluster), [2, 2]);
}

#[test]
fn copy_that_does_not_refresh_is_counted_and_not_failed() {
    let mut cluster = searched();
    cluster.cut(A, B);
    let token = cluster.refresh(A);
    cluster.run();
    assert_eq!(cluster.refreshed.get(&token), None);
    cluster.pass(Duration::from_secs(3));
    assert_eq!(cluster.refreshed[&token], Ok((1, 2)));
    assert!(cluster.reports.is_empty() && cluster.table().copies.len() == 2);
}

#[test]
fn copy_that_is_no_primary_refuses_to_refresh_the_group() {
    let mut cluster = searched();
    let token = cluster.refresh(B);
    assert_eq!(cluster.refreshed[&token], Err(ShardRefusal::NotHere { certain: true }));
}

/// `IndexShard.finalizeRecovery`: also without any refresh by itself, a copy shows what it has when it begins to serve.
#[test]
fn copy_shows_all_that_it_has_when_its_recovery_ends() {
    let mut cluster = Cluster::with_copies(1, config());
    switched_off(&mut cluster);
    cluster.write(A, with(RefreshPolicy::Immediate, "1"));
    cluster.run();
    cluster.add_copy(B, CopyState::Initializing);
    cluster.publish();
    cluster.run();
    assert_eq!(found(&mut cluster), [1, 1]);
}

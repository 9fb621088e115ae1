//! Tests of watches — decides whether events come as a real server tells them. It never looks into tables.

use super::*;
use crate::zookeeper::wire::{AddWatchMode, Op, Reply, WatcherType, ZkError};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: true }
}

fn get(path: &str) -> Op {
    Op::GetData { path: path.into(), watch: true }
}

fn list(path: &str) -> Op {
    Op::GetChildren { path: path.into(), watch: true }
}

/// Watches left by reads that succeed.
fn watching(reads: &[(ConnId, Op)]) -> Watches {
    let mut watches = Watches::new(Compat::V3_8);
    for (conn, op) in reads {
        watches.after_read(*conn, op, &Ok(Reply::Done));
    }
    watches
}

fn change(kind: ChangeKind, path: &str) -> Change {
    Change { path: path.into(), kind, acl: Acl::open(), parent_acl: Acl::open() }
}

fn created(path: &str) -> Change {
    change(ChangeKind::Created, path)
}

fn deleted(path: &str) -> Change {
    change(ChangeKind::Deleted, path)
}

fn changed(path: &str) -> Change {
    change(ChangeKind::DataChanged, path)
}

fn fired(watches: &mut Watches, change: Change) -> Vec<(ConnId, String, WatchChange)> {
    let events = watches.trigger(&[change], |_, _| true).into_iter();
    events.map(|(conn, event)| (conn, event.path, event.change)).collect()
}

#[test]
fn watch_fires_once() {
    let mut watches = watching(&[(A, get("/n"))]);
    assert_eq!(fired(&mut watches, changed("/n")), [(A, "/n".into(), NodeDataChanged)]);
    assert_eq!(fired(&mut watches, changed("/n")), []);
}

/// "the same watch set twice on one connection fires once; exists + getData on one path are one entry"
#[test]
fn exists_and_get_on_one_path_are_one_watch() {
    let mut watches = watching(&[(A, get("/n")), (A, get("/n")), (A, exists("/n"))]);
    assert_eq!(fired(&mut watches, changed("/n")).len(), 1);
}

/// "exists leaves a watch on NoNode; getData does not"
#[test]
fn only_exists_leaves_a_watch_when_there_is_no_node() {
    let mut watches = Watches::new(Compat::V3_8);
    for op in [exists("/e"), get("/g"), list("/c")] {
        watches.after_read(A, &op, &Err(ZkError::NoNode));
    }
    watches.after_read(A, &exists("/bad"), &Err(ZkError::BadArguments));
    assert_eq!(fired(&mut watches, created("/e")), [(A, "/e".into(), NodeCreated)]);
    for path in ["/g", "/c", "/bad"] {
        assert_eq!(fired(&mut watches, created(path)), []);
    }
}

#[test]
fn read_that_asks_for_no_watch_leaves_none() {
    let mut watches = Watches::new(Compat::V3_8);
    watches.after_read(A, &Op::GetData { path: "/n".into(), watch: false }, &Ok(Reply::Done));
    assert_eq!(fired(&mut watches, changed("/n")), []);
}

#[test]
fn create_tells_the_data_table_then_the_parents_child_table() {
    let mut watches = watching(&[(A, list("/p")), (B, list("/p")), (B, exists("/p/k"))]);
    let expected = [
        (B, "/p/k".into(), NodeCreated),
        (A, "/p".into(), NodeChildrenChanged),
        (B, "/p".into(), NodeChildrenChanged),
    ];
    assert_eq!(fired(&mut watches, created("/p/k")), expected);
}

/// "NodeDeleted to data table, NodeDeleted to the child table of the same path (not to those just told),
/// then NodeChildrenChanged to the parent's"
#[test]
fn delete_tells_each_watcher_of_the_node_once_then_the_parents() {
    let mut watches = watching(&[(A, get("/n")), (A, list("/n")), (B, list("/n")), (A, list("/"))]);
    let expected =
        [(A, "/n".into(), NodeDeleted), (B, "/n".into(), NodeDeleted), (A, "/".into(), NodeChildrenChanged)];
    assert_eq!(fired(&mut watches, deleted("/n")), expected);
    assert_eq!(fired(&mut watches, deleted("/n")), [], "the watch that kept silent is used up too");
}

#[test]
fn child_watch_ignores_data_and_grandchildren() {
    let mut watches = watching(&[(A, list("/p"))]);
    assert_eq!(fired(&mut watches, changed("/p")), []);
    assert_eq!(fired(&mut watches, changed("/p/k")), []);
    assert_eq!(fired(&mut watches, created("/p/k/g")), []);
    assert_eq!(fired(&mut watches, deleted("/p/k")).len(), 1);
}

/// The recording `multi_watch_order` of a 3.8.0 server.
#[test]
fn events_of_a_multi_come_in_the_order_of_its_operations() {
    let ours = [get("/r/x"), get("/r/y"), exists("/r/z"), list("/r")].map(|op| (A, op));
    let theirs = [get("/r/x"), list("/r")].map(|op| (B, op));
    let mut watches = watching(&[ours.as_slice(), &theirs].concat());
    let changes = [changed("/r/y"), created("/r/z"), deleted("/r/x"), changed("/r/y")];
    let events = watches.trigger(&changes, |_, _| true);
    let of = |conn| {
        let own = events.iter().filter(move |(to, _)| *to == conn);
        own.map(|(_, event)| (event.path.as_str(), event.change)).collect::<Vec<_>>()
    };
    let expected = [
        ("/r/y", NodeDataChanged),
        ("/r/z", NodeCreated),
        ("/r", NodeChildrenChanged),
        ("/r/x", NodeDeleted),
    ];
    assert_eq!(of(A), expected);
    assert_eq!(of(B), expected[2..]);
}

#[test]
fn watches_are_gone_with_their_connection() {
    let mut watches = watching(&[(A, get("/n")), (B, get("/n")), (A, list("/"))]);
    watches.drop_connection(A);
    assert_eq!(fired(&mut watches, deleted("/n")), [(B, "/n".into(), NodeDeleted)]);
}

/// What a connection is told of these changes, one list for each.
fn told(watches: &mut Watches, changes: &[Change]) -> Vec<Vec<(String, WatchChange)>> {
    let one = |change: &Change| {
        let events = watches.trigger(std::slice::from_ref(change), |_, _| true);
        events.into_iter().map(|(_, event)| (event.path, event.change)).collect()
    };
    changes.iter().map(one).collect()
}

fn event(path: &str, change: WatchChange) -> Vec<(String, WatchChange)> {
    vec![(path.to_owned(), change)]
}

/// The recording `watch_persistent` of a 3.8.0 server: "fires for data, create, delete and children changes
/// of that node, never removed; survives deletion of the node".
#[test]
fn persistent_watch_hears_of_its_node_again_and_again() {
    for compat in [Compat::V3_8, Compat::V3_9] {
        let mut watches = Watches::new(compat);
        watches.add(A, "/n", AddWatchMode::Persistent);
        let changes = [
            created("/n"),
            changed("/n"),
            changed("/n"),
            created("/n/k"),
            changed("/n/k"),
            created("/n/k/g"),
            deleted("/n/k"),
            deleted("/n"),
            created("/n"),
        ];
        let expected = [
            event("/n", NodeCreated),
            event("/n", NodeDataChanged),
            event("/n", NodeDataChanged),
            event("/n", NodeChildrenChanged),
            vec![],
            vec![],
            event("/n", NodeChildrenChanged),
            event("/n", NodeDeleted),
            event("/n", NodeCreated),
        ];
        assert_eq!(told(&mut watches, &changes), expected, "{compat:?}");
    }
}

/// The recording `watch_recursive` of a 3.8.0 server: "created/deleted/changed for the node and all below,
/// never NodeChildrenChanged"; a path that only begins alike is not below.
#[test]
fn recursive_watch_hears_of_everything_below() {
    for compat in [Compat::V3_8, Compat::V3_9] {
        let mut watches = Watches::new(compat);
        watches.add(A, "/r/n", AddWatchMode::PersistentRecursive);
        let changes =
            [changed("/r/n"), created("/r/n/k"), deleted("/r/n/k/g"), created("/r/nn"), deleted("/r/n")];
        let expected = [
            event("/r/n", NodeDataChanged),
            event("/r/n/k", NodeCreated),
            event("/r/n/k/g", NodeDeleted),
            vec![],
            event("/r/n", NodeDeleted),
        ];
        assert_eq!(told(&mut watches, &changes), expected, "{compat:?}");
    }
}

#[test]
fn recursive_watch_of_the_root_hears_of_every_node() {
    let mut watches = Watches::new(Compat::V3_8);
    watches.add(A, "/", AddWatchMode::PersistentRecursive);
    assert_eq!(told(&mut watches, &[created("/a/b")]), [event("/a/b", NodeCreated)]);
}

/// The recording `watch_recursive_and_child` of a 3.8.0 server.
#[test]
fn recursive_and_child_watch_tell_of_node_and_parent() {
    let mut watches = Watches::new(Compat::V3_8);
    watches.add(A, "/n", AddWatchMode::PersistentRecursive);
    watches.after_read(A, &list("/n"), &Ok(Reply::Done));
    let both = vec![("/n/k".to_owned(), NodeCreated), ("/n".to_owned(), NodeChildrenChanged)];
    let changes = [created("/n/k"), created("/n/k2"), changed("/n")];
    let expected = [both, event("/n/k2", NodeCreated), event("/n", NodeDataChanged)];
    assert_eq!(told(&mut watches, &changes), expected);
}

/// "3.8: one mode per (connection, path, table), the later call replaces; 3.9 (ZOOKEEPER-4466): standard,
/// persistent and recursive live side by side, still one event".
#[test]
fn later_mode_replaces_in_3_8_and_joins_in_3_9() {
    for (compat, second) in [(Compat::V3_8, vec![]), (Compat::V3_9, event("/n", NodeDataChanged))] {
        let mut watches = Watches::new(compat);
        watches.add(A, "/n", AddWatchMode::Persistent);
        watches.after_read(A, &get("/n"), &Ok(Reply::Done));
        let events = told(&mut watches, &[changed("/n"), changed("/n")]);
        assert_eq!(events, [event("/n", NodeDataChanged), second], "{compat:?}");
    }
    let mut watches = watching(&[(A, get("/n"))]);
    watches.add(A, "/n", AddWatchMode::Persistent);
    assert_eq!(told(&mut watches, &[changed("/n"), changed("/n")]).concat().len(), 2);
}

#[test]
fn connection_with_several_matching_watches_is_told_once() {
    let mut watches = Watches::new(Compat::V3_9);
    for path in ["/", "/a", "/a/b"] {
        watches.add(A, path, AddWatchMode::PersistentRecursive);
    }
    watches.add(A, "/a/b", AddWatchMode::Persistent);
    watches.after_read(A, &get("/a/b"), &Ok(Reply::Done));
    assert_eq!(told(&mut watches, &[changed("/a/b")]), [event("/a/b", NodeDataChanged)]);
}

/// "event withheld if the connection may not READ the node (parent for the child event), one-shot watch still
/// used up".
#[test]
fn event_is_withheld_from_those_who_may_not_read() {
    let mut watches = watching(&[(A, get("/p/k")), (B, get("/p/k")), (A, list("/p")), (B, list("/p"))]);
    let (secret, acl) = (Acl::new([]), Acl::open());
    let gone = Change { path: "/p/k".into(), kind: ChangeKind::Deleted, acl, parent_acl: secret.clone() };
    let may_read = |conn, acl: &Acl| conn == A || *acl != secret;
    let of_b = |events: Vec<(ConnId, WatchEvent)>| events.iter().filter(|(conn, _)| *conn == B).count();
    let events = watches.trigger(std::slice::from_ref(&gone), may_read);
    assert_eq!((events.len(), of_b(events)), (3, 1));
    assert_eq!(watches.trigger(&[gone], |_, _| true), [], "all watches are used up");
}

/// The recording `remove_watches` of a 3.8.0 server.
#[test]
fn watches_are_removed_by_kind() {
    use WatcherType::{Any, Children, Data};
    let mut watches = watching(&[(A, get("/n")), (A, list("/n"))]);
    let mut remove = |kind| watches.remove(A, "/n", kind);
    assert_eq!(remove(Data), Ok(Reply::Done));
    assert_eq!(remove(Data), Err(ZkError::NoWatcher));
    assert_eq!(remove(Children), Ok(Reply::Done));
    assert_eq!(remove(Any), Err(ZkError::NoWatcher));
    watches.add(A, "/n", AddWatchMode::Persistent);
    assert_eq!(watches.remove(A, "/n", Any), Ok(Reply::Done));
    watches.after_read(A, &exists("/nope"), &Err(ZkError::NoNode));
    assert_eq!(watches.remove(A, "/nope", Data), Ok(Reply::Done));
    assert_eq!(told(&mut watches, &[changed("/n"), created("/n/k"), created("/nope")]).concat(), []);
}

/// The recording `remove_watches_of_other` of a 3.8.0 server.
#[test]
fn watch_of_another_connection_is_not_removed() {
    let mut watches = watching(&[(A, get("/n"))]);
    assert_eq!(watches.remove(B, "/n", WatcherType::Any), Err(ZkError::NoWatcher));
    assert_eq!(fired(&mut watches, changed("/n")).len(), 1);
}

/// The recording `check_watches` of a 3.8.0 server; "3.8.0's containsWatcher ignores which session owns the
/// watch".
#[test]
fn check_reports_and_removes_nothing() {
    use WatcherType::{Any, Children, Data};
    for compat in [Compat::V3_8, Compat::V3_9] {
        let mut watches = Watches::new(compat);
        watches.after_read(A, &get("/n"), &Ok(Reply::Done));
        let results = [Data, Children, Any, Data].map(|kind| watches.check(A, "/n", kind).is_ok());
        assert_eq!(results, [true, false, true, true], "{compat:?}");
        assert_eq!(watches.check(B, "/n", Data).is_ok(), compat == Compat::V3_8);
        fired(&mut watches, changed("/n"));
        assert_eq!(watches.check(A, "/n", Data), Err(ZkError::NoWatcher));
    }
}

/// The recording `remove_watches_persistent_types` of a 3.8.0 server; 3.9 knows the kinds 4 and 5.
#[test]
fn kinds_of_3_9_mean_one_mode_and_are_unknown_to_3_8() {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let mut old = Watches::new(Compat::V3_8);
    old.add(A, "/n", AddWatchMode::Persistent);
    for kind in [Persistent, PersistentRecursive] {
        assert_eq!(old.remove(A, "/n", kind), Err(ZkError::MarshallingError));
        assert_eq!(old.check(A, "/n", kind), Err(ZkError::MarshallingError));
    }
    assert_eq!(fired(&mut old, changed("/n")).len(), 1);

    let mut new = Watches::new(Compat::V3_9);
    new.add(A, "/n", AddWatchMode::Persistent);
    new.add(A, "/n", AddWatchMode::PersistentRecursive);
    for (kind, there) in [(Children, false), (Data, false), (Persistent, true), (PersistentRecursive, true)] {
        assert_eq!(new.check(A, "/n", kind).is_ok(), there, "{kind:?}");
        assert_eq!(new.remove(A, "/n", kind).is_ok(), there, "{kind:?}");
    }
    assert_eq!(new.check(A, "/n", Any), Err(ZkError::NoWatcher));
    assert_eq!(told(&mut new, &[changed("/n"), created("/n/k")]).concat(), []);
}

#[test]
fn count_and_listing_show_what_is_armed() {
    let mut watches = watching(&[(A, get("/n")), (B, get("/n")), (A, list("/n")), (B, exists("/m"))]);
    let listed = |watches: &Watches| {
        watches.by_path().map(|(path, conns)| (path.to_string(), conns)).collect::<Vec<_>>()
    };
    assert_eq!(watches.count(), 4);
    assert_eq!(listed(&watches), [("/m".to_owned(), vec![B]), ("/n".to_owned(), vec![A, B])]);
    watches.drop_connection(B);
    fired(&mut watches, deleted("/n"));
    assert_eq!((watches.count(), listed(&watches)), (0, vec![]));
    assert_eq!(watches, Watches::new(Compat::V3_8), "nothing is left behind");
}

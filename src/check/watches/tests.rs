//! Tests of the laws over watches: small stories, in each of which one law is broken, or an anomaly that is
//! allowed is seen.

use crate::{
    check::clients::story::{Story, made, removed, set},
    event::{Act, Change, EventKind as E},
    name::{HostId, SessionId},
};

const IN_ORDER: &str = "watch.in-order";
const NONE_LOST: &str = "watch.none-lost";
const NO_MORE: &str = "watch.no-more";

fn assert_all_pass(story: &mut Story) {
    story.record.world(E::RunEnded);
    [IN_ORDER, NONE_LOST, NO_MORE].iter().for_each(|law| story.record.assert_passes(law));
}

fn assert_only(mut story: Story, law: &str, why: &str) {
    story.record.world(E::RunEnded);
    for other in [IN_ORDER, NONE_LOST, NO_MORE].iter().filter(|other| **other != law) {
        story.record.assert_passes(other);
    }
    story.record.assert_fails(law, why);
}

/// Client 1 has left a watch of this kind on `/a`, which transaction 1 has made.
fn watching(op: &str, watch: &str) -> Story {
    let mut story = Story::new();
    story.write(vec![made("/a", 1)]).connect(1, 1, false).read(1, 1, 1, op, "/a", watch);
    story
}

const GET: (&str, &str) = ("getData", "/a");

#[test]
fn event_before_the_reply_that_shows_it_is_right() {
    let mut story = watching("getData", "data");
    story.write(vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged").read(1, 2, 2, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

#[test]
fn event_after_the_reply_that_shows_it_fails() {
    let mut story = watching("getData", "data");
    story.write(vec![set("/a", 1)]).read(1, 2, 2, GET.0, GET.1, "").told(1, "/a", "NodeDataChanged");
    assert_only(
        story,
        IN_ORDER,
        "is told NodeDataChanged of /a (0x100000002) after it was shown 0x100000002",
    );
}

#[test]
fn events_out_of_the_order_of_transactions_fail() {
    let mut story = watching("getData", "data");
    story.read(1, 2, 1, "getChildren", "/a", "child");
    story.write(vec![set("/a", 1)]).write(vec![made("/a/b", 1)]);
    story.told(1, "/a", "NodeChildrenChanged").told(1, "/a", "NodeDataChanged");
    assert_only(
        story,
        IN_ORDER,
        "is told NodeChildrenChanged of /a (0x100000003) before NodeDataChanged of /a",
    );
}

#[test]
fn event_that_never_comes_fails() {
    let mut story = watching("getData", "data");
    story.write(vec![set("/a", 1)]).read(1, 2, 2, GET.0, GET.1, "");
    assert_only(story, NONE_LOST, "was shown 0x100000002 and never told NodeDataChanged of /a (0x100000002)");
}

/// Reads may be stale: a server that has not applied the change owes nothing yet.
#[test]
fn event_that_no_reply_shows_may_be_under_way() {
    let mut story = watching("getData", "data");
    story.write(vec![set("/a", 1)]).read(1, 2, 1, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

#[test]
fn one_shot_watch_that_fires_twice_fails() {
    let mut story = watching("getData", "data");
    story.write(vec![set("/a", 1)]).write(vec![set("/a", 2)]);
    story.told(1, "/a", "NodeDataChanged").told(1, "/a", "NodeDataChanged");
    assert_only(story, NO_MORE, "is told NodeDataChanged of /a, but nothing that it watches has changed so");
}

#[test]
fn event_of_what_is_not_watched_or_did_not_happen_fails() {
    let mut story = watching("getData", "");
    story.write(vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged");
    assert_only(story, NO_MORE, "is told NodeDataChanged of /a, but nothing");
    let mut story = watching("getData", "data");
    story.propose(9, 1, vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged");
    assert_only(story, NO_MORE, "is told NodeDataChanged of /a, but nothing");
}

#[test]
fn persistent_watch_tells_again_and_again() {
    let mut story = watching("addWatch", "persistent");
    story.write(vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged");
    story.write(vec![made("/a/b", 1)]).told(1, "/a", "NodeChildrenChanged");
    story.write(vec![removed("/a/b")]).told(1, "/a", "NodeChildrenChanged");
    story.write(vec![removed("/a")]).told(1, "/a", "NodeDeleted");
    story.write(vec![made("/a", 2)]).told(1, "/a", "NodeCreated").read(1, 9, 6, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

#[test]
fn recursive_watch_covers_all_below_and_no_child_events() {
    let below = || {
        let mut story = watching("addWatch", "recursive");
        story.write(vec![made("/a/b", 1)]).write(vec![made("/a/b/c", 1)]).told(1, "/a/b", "NodeCreated");
        story
    };
    let mut whole = below();
    whole.told(1, "/a/b/c", "NodeCreated").read(1, 9, 3, GET.0, GET.1, "");
    assert_all_pass(&mut whole);
    let mut lost = below();
    lost.read(1, 9, 3, GET.0, GET.1, "");
    assert_only(lost, NONE_LOST, "never told NodeCreated of /a/b/c");
    let mut needless = below();
    needless.told(1, "/a", "NodeChildrenChanged");
    assert_only(needless, NO_MORE, "is told NodeChildrenChanged of /a, but nothing");
}

/// The server is behind the ensemble when it takes the watch, and fires it when it gets there.
#[test]
fn watch_left_on_a_server_that_is_behind_tells_of_what_it_has_not_applied() {
    let mut story = Story::new();
    story.write(vec![made("/a", 1)]).write(vec![set("/a", 1)]).connect(1, 2, false);
    story
        .read(1, 1, 1, GET.0, GET.1, "data")
        .told(1, "/a", "NodeDataChanged")
        .read(1, 2, 2, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

/// "A connection with several matching watches for one (path, type) gets it once."
#[test]
fn data_and_child_watch_of_a_removed_node_tell_once() {
    let both = || {
        let mut story = watching("getData", "data");
        story.read(1, 2, 1, "getChildren", "/a", "child").write(vec![removed("/a")]);
        story.told(1, "/a", "NodeDeleted");
        story
    };
    assert_all_pass(&mut both());
    let mut twice = both();
    twice.told(1, "/a", "NodeDeleted");
    assert_only(twice, NO_MORE, "is told NodeDeleted of /a, but nothing");
}

/// exists leaves a watch on a node that is not there; getData does not.
#[test]
fn only_exists_watches_what_is_not_there() {
    let missing = |op: &str, watch: &str| {
        let mut story = Story::new();
        story.connect(1, 1, false).ask(1, 1, op, "/a", watch).answer(1, 1, 0, (op, "/a"), Err(-101));
        story.write(vec![made("/a", 1)]).read(1, 2, 1, GET.0, GET.1, "");
        story
    };
    assert_all_pass(&mut missing("getData", "data"));
    assert_only(missing("exists", "exist"), NONE_LOST, "never told NodeCreated of /a");
}

/// The client of `watching` loses its server, misses what `happens`, and comes to another one, which tells it
/// `events` before its setWatches is answered.
fn back(mut story: Story, happens: &[Change], events: &[&str]) -> Story {
    story.disconnect(1);
    happens.iter().for_each(|change| _ = story.write(vec![change.clone()]));
    story.connect(1, 2, true).ask(1, -8, "setWatches", "", "");
    events.iter().for_each(|change| _ = story.told(1, "/a", change));
    story.answer(1, -8, 1 + happens.len() as u32, ("setWatches", ""), Ok(None));
    story
}

#[test]
fn change_missed_while_away_is_told_at_the_return() {
    let missed = [
        (watching("getData", "data"), set("/a", 1), "NodeDataChanged"),
        (watching("getData", "data"), removed("/a"), "NodeDeleted"),
        (watching("getChildren", "child"), made("/a/b", 1), "NodeChildrenChanged"),
        (watching("getChildren", "child"), removed("/a"), "NodeDeleted"),
    ];
    for (story, change, event) in missed {
        assert_all_pass(&mut back(story, &[change], &[event]));
    }
}

#[test]
fn change_missed_while_away_and_never_told_fails() {
    let lost = back(watching("getData", "data"), &[set("/a", 1)], &[]);
    assert_only(lost, NONE_LOST, "never told NodeDataChanged of /a");
}

#[test]
fn watch_that_is_not_set_again_fails_with_the_next_change() {
    let forgotten = || {
        let mut story = watching("getData", "data");
        story.disconnect(1).connect(1, 2, true).read(1, 2, 1, "getData", "/b", "");
        story
    };
    assert_all_pass(&mut forgotten());
    let mut lost = forgotten();
    lost.write(vec![set("/a", 1)]).read(1, 3, 2, GET.0, GET.1, "");
    assert_only(lost, NONE_LOST, "never told NodeDataChanged of /a (0x100000002)");
}

#[test]
fn return_tells_nothing_that_is_not_so() {
    let needless = back(watching("getData", "data"), &[], &["NodeDataChanged"]);
    assert_only(needless, NO_MORE, "was told NodeDataChanged of /a when it came back, which was not so");
    let unwatched = back(watching("getData", "data"), &[made("/a/b", 1)], &["NodeChildrenChanged"]);
    assert_only(unwatched, NO_MORE, "of /a when it came back, which it does not watch");
}

/// "Deleted and created again in between …: one event; node replaced (data list): NodeDataChanged instead of
/// deleted + created."
#[test]
fn node_replaced_while_away_is_told_as_changed() {
    let replaced = [removed("/a"), made("/a", 2)];
    assert_all_pass(&mut back(watching("getData", "data"), &replaced, &["NodeDataChanged"]));
}

/// "recursive watch misses everything while away."
#[test]
fn persistent_watches_miss_what_happens_while_away() {
    for watch in ["persistent", "recursive"] {
        let mut story = back(watching("addWatch", watch), &[set("/a", 1)], &[]);
        assert_all_pass(&mut story);
        story.write(vec![set("/a", 2)]).read(1, 9, 3, GET.0, GET.1, "");
        assert_only(story, NONE_LOST, "never told NodeDataChanged of /a (0x100000003)");
    }
}

#[test]
fn path_watched_in_two_lists_and_gone_is_told_twice_at_the_return() {
    let mut story = watching("getData", "data");
    story.read(1, 2, 1, "getChildren", "/a", "child");
    assert_all_pass(&mut back(story, &[removed("/a")], &["NodeDeleted", "NodeDeleted"]));
}

/// ZOOKEEPER-4799.
#[test]
fn event_of_a_node_that_not_everybody_may_read_may_be_withheld() {
    let shut = || Change { path: "/a".into(), act: Act::AclSet { version: 1, open: false } };
    for told in [true, false] {
        let mut story = watching("getData", "data");
        story.write(vec![shut()]).write(vec![set("/a", 1)]);
        if told {
            story.told(1, "/a", "NodeDataChanged");
        }
        story.read(1, 9, 3, "getData", "/b", "");
        assert_all_pass(&mut story);
    }
}

/// ZOOKEEPER-4466: a one-shot watch may have taken the place of a persistent one, so that what comes later is
/// told or not; neither is taken for the other.
#[test]
fn event_after_a_mixed_watch_kept_silent_is_not_late() {
    let mut story = watching("addWatch", "persistent");
    story.read(1, 2, 1, GET.0, GET.1, "data");
    story.write(vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged");
    story.write(vec![set("/a", 2)]).read(1, 3, 3, GET.0, GET.1, "data");
    story.write(vec![set("/a", 3)]).told(1, "/a", "NodeDataChanged").read(1, 4, 4, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

/// ZOOKEEPER-4466: what was under way when a recursive watch took the place of a child watch need not come.
#[test]
fn event_under_way_when_watches_are_mixed_may_stay_away() {
    let mut story = watching("getChildren", "child");
    story.write(vec![made("/a/b", 1)]).read(1, 2, 1, "addWatch", "/a", "recursive");
    story.read(1, 3, 2, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

/// `ClientCnxn`, seenRwServerBefore: what was watched in read-only mode is watched in the session that follows.
#[test]
fn watches_of_a_read_only_connection_go_into_the_next_session() {
    let moved = |read_only| {
        let mut story = Story::new();
        story.write(vec![made("/a", 1)]);
        story.note(1, |_| E::ClientConnected {
            session: SessionId(77),
            server: HostId::zookeeper(1),
            resumed: false,
            read_only,
        });
        story.note(1, |_| E::ClientDisconnected { session: SessionId(77) });
        story.connect(1, 2, false).ask(1, -8, "setWatches", "", "");
        story.answer(1, -8, 1, ("setWatches", ""), Ok(None));
        story.write(vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged");
        story
    };
    assert_all_pass(&mut moved(true));
    assert_only(moved(false), NO_MORE, "is told NodeDataChanged of /a, but nothing");
}

/// ZOOKEEPER-4466: 3.8 keeps the last mode only.
#[test]
fn path_watched_in_two_modes_is_not_judged() {
    let mut story = watching("addWatch", "persistent");
    story.read(1, 2, 1, GET.0, GET.1, "data").write(vec![set("/a", 1)]).told(1, "/a", "NodeDataChanged");
    story.write(vec![set("/a", 2)]).read(1, 9, 3, GET.0, GET.1, "");
    assert_all_pass(&mut story);
}

#[test]
fn removed_watch_tells_no_more() {
    let removed = || {
        let mut story = watching("getData", "data");
        story.read(1, 2, 1, "removeWatches", "/a", "data").write(vec![set("/a", 1)]);
        story.read(1, 3, 2, GET.0, GET.1, "");
        story
    };
    assert_all_pass(&mut removed());
    let mut needless = removed();
    needless.told(1, "/a", "NodeDataChanged");
    assert_only(needless, NO_MORE, "is told NodeDataChanged of /a, but nothing");
}

#[test]
fn client_that_dies_is_owed_nothing() {
    let mut story = watching("getData", "data");
    story.write(vec![set("/a", 1)]).read(1, 2, 2, GET.0, GET.1, "");
    let host = crate::check::clients::story::client(1).0;
    story.record.on(host, E::HostCrashed { power: false });
    assert_all_pass(&mut story);
}

//! Tests of administration — decides whether changes, settings and notices reach every node, once and in order. It
//! never looks into the controller.

use super::*;
use crate::{
    check::{law::judge, verdict::Verdict},
    event::Event,
    name::SimTime,
    search::settings::Settings,
};

fn settings(name: &str, value: &str) -> AdminTask {
    AdminTask::ClusterSettings { changes: [(name.to_owned(), Some(value.to_owned()))].into() }
}

fn enable(value: &str) -> AdminTask {
    settings("cluster.routing.allocation.enable", value)
}

/// The document of settings in its znode.
fn document(bench: &Bench<Node>) -> SettingsDocument {
    let data = bench.fake.data(SETTINGS).cloned().flatten();
    SettingsDocument::from_bytes(data.as_deref()).expect("a whole document")
}

/// The versions of the settings that a node was given, in order.
fn given(bench: &mut Bench<Node>, host: HostId) -> Vec<u64> {
    let news = bench.core(host).news.iter().filter_map(|news| match news {
        ControlNews::Settings(settings) => Some(settings.version),
        _ => None,
    });
    news.collect()
}

fn received(bench: &Bench<Node>, host: HostId) -> Vec<u64> {
    let numbers = bench.notes(Some(host)).filter_map(|event| match event {
        EventKind::NoticeReceived { number, .. } => Some(*number),
        _ => None,
    });
    numbers.collect()
}

fn announced(bench: &Bench<Node>) -> Vec<u64> {
    let versions = bench.notes(None).filter_map(|event| match event {
        EventKind::ChangesAnnounced { version, .. } => Some(*version),
        _ => None,
    });
    versions.collect()
}

fn assert_lawful(bench: &Bench<Node>) {
    let events: Vec<Event> = (0..)
        .zip(&bench.events)
        .map(|(seq, (at, host, kind))| Event { seq, at: SimTime(*at), host: Some(*host), kind: kind.clone() })
        .collect();
    let laws = ["settings.prefix", "notices.tell-changes", "control.one-controller"];
    for judgement in judge(&events, &laws.map(str::to_owned)).unwrap() {
        assert!(!matches!(judgement.verdict, Verdict::Fail { .. }), "{judgement:?}");
    }
}

/// SEARCH-DEFECTS A8; "ack'ed tasks wait for all nodes' apply or ack timeout"
#[test]
fn change_is_acknowledged_when_every_node_has_said_that_it_applied_it() {
    let mut bench = green(&[]);
    ask(&mut bench, B, 2, enable("none"));
    bench.run(seconds(1));
    assert_eq!(bench.core(B).answers().last(), Some(&(2, DONE)));
    bench.core(C).tells = false;
    ask(&mut bench, B, 3, enable("all"));
    bench.run(seconds(2));
    assert_eq!(bench.core(B).answers().len(), 2, "C has not said anything");
    assert_eq!(document(&bench).version, 2, "it is written all the same");
    bench.run(seconds(2));
    assert_eq!(bench.core(B).answers().last(), Some(&(3, Ok(Granted::Change { acknowledged: false }))));
}

#[test]
fn settings_reach_every_node_in_order_and_before_the_state_that_goes_by_them() {
    let mut bench = green(&[]);
    for (token, value) in (2..).zip(["none", "primaries", "all"]) {
        ask(&mut bench, C, token, enable(value));
        bench.run(seconds(1));
    }
    assert_eq!(document(&bench).cluster.set("cluster.routing.allocation.enable"), Some("all"));
    for host in ALL {
        assert_eq!(given(&mut bench, host), [1, 2, 3]);
        let mut version = 0;
        for news in &bench.core(host).news {
            match news {
                ControlNews::Settings(settings) => version = settings.version,
                ControlNews::State(state) => assert!(state.settings.version <= version),
                _ => {}
            }
        }
    }
    assert_lawful(&bench);
}

/// "changed by compare-and-set from any …": the document is a znode like any other.
#[test]
fn settings_that_somebody_else_wrote_are_applied_and_taken_over() {
    let mut bench = green(&[]);
    ask(&mut bench, C, 2, enable("all"));
    bench.run(seconds(1));
    let mut next = document(&bench);
    next.version += 1;
    let replicas = [("index.number_of_replicas".to_owned(), "2".to_owned())].into();
    next.indices.insert("articles".into(), Settings(replicas));
    let expected = bench.fake.stat(SETTINGS).unwrap().version;
    bench.fake.edit(&Op::SetData {
        path: SETTINGS.to_owned(),
        data: Some(next.to_bytes()),
        version: expected,
    });
    bench.run(seconds(3));
    for host in ALL {
        assert_eq!(given(&mut bench, host), [1, 2]);
        assert_eq!(state(&mut bench, host).settings.version, 2);
        assert_eq!(state(&mut bench, host).indices[&"articles".into()].replicas, 2);
    }
    assert_green(&mut bench, &ALL);
    ask(&mut bench, B, 3, enable("none"));
    bench.run(seconds(1));
    assert_eq!(document(&bench).version, 3, "the next change builds on it");
    assert_lawful(&bench);
}

#[test]
fn settings_that_are_not_whole_are_told_and_never_overwritten() {
    let mut bench = green(&[]);
    bench.fake.edit(&Op::SetData {
        path: SETTINGS.to_owned(),
        data: Some(b"{".as_slice().into()),
        version: -1,
    });
    bench.run(seconds(1));
    let corrupt =
        |event: &&EventKind| matches!(event, EventKind::StateCorrupt { path, .. } if path == SETTINGS);
    assert_eq!(bench.notes(None).filter(corrupt).count(), 3, "once a node");
    ask(&mut bench, B, 2, enable("none"));
    wish(&mut bench, B, 3, "books");
    bench.run(seconds(1));
    let refused = (2, Err("corrupt_state_exception".to_owned()));
    assert_eq!(bench.core(B).answers()[1..], [refused, (3, DONE)]);
    assert_eq!(bench.fake.data(SETTINGS).unwrap().as_deref(), Some(b"{".as_slice()));
}

/// SEARCH-DEFECTS C11: nothing of the old index is in the new one of its name.
#[test]
fn index_made_again_is_another_one() {
    let mut bench = green(&[]);
    let old = state(&mut bench, A);
    ask(&mut bench, B, 2, AdminTask::DeleteIndex { index: "articles".into() });
    wish(&mut bench, C, 3, "articles");
    bench.run(seconds(3));
    assert_green(&mut bench, &ALL);
    let new = state(&mut bench, A);
    let ids = |state: &ClusterState| state.homes.keys().copied().collect::<std::collections::BTreeSet<_>>();
    assert!(ids(&old).is_disjoint(&ids(&new)));
    assert_ne!(old.indices[&"articles".into()].uuid, new.indices[&"articles".into()].uuid);
    assert_lawful(&bench);
}

#[test]
fn every_node_hears_every_notice_in_order() {
    let mut bench = green(&[]);
    bench.kill(C);
    bench.run(seconds(6));
    bench.start(C, node(C, &[]));
    bench.run(seconds(3));
    let announced = announced(&bench);
    assert!(announced.len() >= 4, "nodes, an index, a loss, a return: {announced:?}");
    for host in [A, B] {
        let heard = received(&bench, host);
        assert_eq!(
            heard,
            announced[announced.len() - heard.len()..],
            "{host} hears them all, from its first on"
        );
    }
    assert!(received(&bench, C).ends_with(&announced[announced.len() - 2..]));
    assert_lawful(&bench);
}

/// "exactly one notice per change … even across controller changes"
#[test]
fn notices_have_no_gap_and_no_double_when_the_controller_is_lost_at_any_frame() {
    for frame in (2..140).step_by(6) {
        let mut bench = Bench::new();
        bench.lose_frame = Some(frame);
        for host in ALL {
            bench.start(host, node(host, &[]));
        }
        bench.run(seconds(3));
        wish(&mut bench, B, 1, "articles");
        bench.run(Duration::from_millis(frame % 9));
        bench.kill(A);
        bench.run(seconds(12));
        let names = bench.fake.children(CLUSTER_NOTICES);
        let numbers = names.iter().map(|name| name.split('-').nth(1).unwrap().to_owned());
        let distinct: std::collections::BTreeSet<_> = numbers.collect();
        assert_eq!(distinct.len(), names.len(), "frame {frame}: {names:?}");
        assert_lawful(&bench);
        assert_ne!(state(&mut bench, C).controller, Some(A), "somebody goes on");
    }
}

#[test]
fn old_notices_are_trimmed() {
    let mut bench = green(&[]);
    for token in 2..60 {
        let index = ["books", "films"][token as usize % 2];
        let task = match token / 2 % 2 {
            0 => AdminTask::DeleteIndex { index: index.into() },
            _ => AdminTask::CreateIndex {
                index: index.into(),
                uuid: IndexUuid(token),
                settings: Default::default(),
            },
        };
        ask(&mut bench, B, token, task);
        bench.run(Duration::from_millis(200));
    }
    bench.run(seconds(1));
    let kept = bench.fake.children(CLUSTER_NOTICES).len();
    assert!((1..=60).contains(&kept) && kept < announced(&bench).len(), "{kept}");
    for host in ALL {
        let heard = received(&bench, host);
        assert!(heard.is_sorted_by(|a, b| a < b) && heard.last() == announced(&bench).last(), "{heard:?}");
    }
}

/// What only the controller knows.
#[test]
fn nodes_are_listed_with_what_they_have_applied() {
    let mut bench = green(&[]);
    let call = AdminCall { what: Wanted::Knowledge(Inquiry::Nodes), master_timeout: seconds(5) };
    bench.core(C).inquiries.push((7, call));
    bench.step(C, Input::Wake);
    bench.run(seconds(1));
    let Some((7, Ok(Granted::Nodes(list)))) = bench.core(C).answers().pop() else { panic!("an answer") };
    let newest = state(&mut bench, A);
    assert_eq!(list.master, Some(A));
    for host in ALL {
        assert_eq!(list.nodes[&host].applied, Some((newest.epoch, newest.version, 0)));
        assert_eq!(list.nodes[&host].attributes["zone"], "a");
    }
}

//! Tests of membership and indices — decides whether nodes and wishes find the controller. It never breaks
//! more than one node at a time.

use super::*;

#[test]
fn nodes_register_elect_one_controller_and_apply_its_state() {
    let mut bench = cluster(&[]);
    assert_eq!(
        (elected(&bench, A), elected(&bench, B), elected(&bench, C)),
        (vec![Epoch(1)], vec![], vec![])
    );
    for host in ALL {
        let applied = state(&mut bench, host);
        assert_eq!(applied.controller, Some(A));
        assert_eq!(applied.nodes.keys().copied().collect::<Vec<_>>(), ALL);
        assert!(is_alive(&mut bench, host));
        let registered = |event: &&EventKind| matches!(event, EventKind::NodeRegistered { .. });
        assert_eq!(bench.notes(Some(host)).filter(registered).count(), 1);
    }
    assert_forward(&bench);
}

#[test]
fn membership_is_noted_when_it_changes() {
    let mut bench = cluster(&[]);
    bench.kill(C);
    bench.run(seconds(6));
    let seen = bench.notes(Some(A)).filter_map(|event| match event {
        EventKind::MembershipSeen { members } => Some(members.clone()),
        _ => None,
    });
    let seen: Vec<_> = seen.filter(|members| !members.is_empty()).collect();
    assert_eq!(seen, [vec![A], vec![A, B], ALL.to_vec(), vec![A, B]]);
}

#[test]
fn created_index_is_acknowledged_and_becomes_green() {
    let mut bench = green(&[]);
    assert_eq!(bench.core(B).answers(), [(1, DONE)]);
    assert_forward(&bench);
}

#[test]
fn second_index_of_a_name_is_refused() {
    let mut bench = green(&[]);
    wish(&mut bench, C, 7, "articles");
    wish(&mut bench, A, 8, "articles");
    bench.run(seconds(1));
    for (host, token) in [(C, 7), (A, 8)] {
        let refused = (token, Err("resource_already_exists_exception".to_owned()));
        assert_eq!(bench.core(host).answers(), [refused]);
    }
}

#[test]
fn index_without_a_controller_times_out() {
    let mut bench = Bench::new();
    bench.silence(A);
    bench.start(A, node(A, &[]));
    wish(&mut bench, A, 3, "articles");
    bench.run(seconds(4));
    assert_eq!(bench.core(A).answers(), []);
    bench.run(seconds(2));
    assert_eq!(bench.core(A).answers(), [(3, Err("master_not_discovered_exception".to_owned()))]);
}

#[test]
fn index_that_the_controller_does_not_answer_times_out_uncertain() {
    let mut bench = cluster(&[]);
    bench.pause(A);
    wish(&mut bench, B, 3, "articles");
    bench.silence(B);
    bench.silence(C);
    bench.run(seconds(9));
    let uncertain = bench.core(B).news.iter().any(|news| match news {
        ControlNews::Answer { token: 3, result: Err(error) } => {
            (error.status, &*error.kind, error.certain)
                == (503, "process_cluster_event_timeout_exception", false)
        }
        _ => false,
    });
    assert!(uncertain);
}

#[test]
fn wish_outlives_the_controller_it_was_told_to() {
    let mut bench = cluster(&[]);
    bench.kill(A);
    wish(&mut bench, B, 4, "articles");
    bench.run(seconds(4));
    wish(&mut bench, C, 5, "books");
    bench.run(seconds(6));
    let first = &bench.core(B).answers()[0];
    assert_eq!(bench.core(C).answers(), [(5, DONE)]);
    assert!(first.0 == 4 && state(&mut bench, B).indices.len() == 2);
}

/// "promotion is immediate", "replicas only [are delayed]", "node returns early → its copy is reused"
#[test]
fn lost_node_is_replaced_as_primary_and_gets_its_copies_back() {
    let mut bench = green(&[]);
    let before = state(&mut bench, A);
    let (shard, table) = before.shards().find(|(_, table)| table.primary().unwrap().node != Some(A)).unwrap();
    let lost = table.primary().unwrap();
    let (host, id) = (lost.node.unwrap(), lost.allocation.unwrap());
    bench.kill(host);
    bench.run(seconds(6));
    let after = state(&mut bench, A);
    assert_sound(&after);
    let table = after.shard(&shard).unwrap();
    assert!(table.primary().is_some_and(|primary| primary.is_active() && primary.node != Some(host)));
    assert_eq!(table.term, Term(2));
    assert_eq!(table.copy(id).unwrap().node, None);
    bench.start(host, node(host, &[]));
    bench.run(seconds(4));
    assert_green(&mut bench, &ALL);
    assert_eq!(state(&mut bench, A).shard(&shard).unwrap().copy(id).unwrap().node, Some(host));
    assert_forward(&bench);
}

/// "next reroute must be scheduled for the *nearest* remaining deadline" (#14494)
#[test]
fn copies_of_a_node_that_stays_away_are_built_elsewhere_after_the_delay() {
    let mut bench = green(&[]);
    bench.kill(C);
    bench.run(seconds(6));
    let waiting = |state: &ClusterState| {
        state.shards().flat_map(|(_, table)| &table.copies).filter(|copy| copy.node.is_none()).count()
    };
    assert!(waiting(&state(&mut bench, A)) > 0);
    bench.run(seconds(10));
    assert_eq!(waiting(&state(&mut bench, A)), 0);
    assert_green(&mut bench, &[A, B]);
}

/// SEARCH-DEFECTS A2, B4: a restart within the session timeout is a departure and a return.
#[test]
fn node_restarted_within_its_session_timeout_comes_back_green() {
    for host in ALL {
        let mut bench = green(&[]);
        bench.start(host, node(host, &[]));
        bench.run(seconds(10));
        assert_green(&mut bench, &ALL);
        assert_forward(&bench);
    }
}

#[test]
fn controller_that_crashes_is_replaced_with_a_later_epoch() {
    let mut bench = green(&[]);
    bench.kill(A);
    bench.run(seconds(6));
    assert_eq!(elected(&bench, B), [Epoch(2)]);
    assert_eq!(state(&mut bench, C).controller, Some(B));
    assert_eq!(state(&mut bench, C).epoch, Epoch(2));
    assert_forward(&bench);
}

/// A started copy is reported again to the next controller.
#[test]
fn report_outlives_the_controller_it_was_told_to() {
    let mut bench = cluster(&[]);
    for host in ALL {
        bench.core(host).eager = false;
    }
    wish(&mut bench, B, 1, "articles");
    bench.run(seconds(1));
    bench.pause(A);
    for host in [B, C] {
        bench.core(host).eager = true;
    }
    bench.run(seconds(12));
    bench.resume(A);
    bench.core(A).eager = true;
    bench.run(seconds(12));
    assert_green(&mut bench, &ALL);
    assert_forward(&bench);
}

//! What has gone wrong in Elasticsearch with terms, resyncs and their timing, row by row of the list of its defects.

use std::time::Duration;

use super::{
    disk::Loss,
    harness::{A, B, C, Cluster, config, index},
    relocation::relocate,
};
use crate::{event::EventKind, name::Term};

/// The primary on A dies with writes on the way; the state promotes the first in-sync copy, on B.
fn lose_primary(cluster: &mut Cluster) {
    let dead = cluster.copy_on(A);
    cluster.kill(A);
    cluster.mark_failed(dead);
    cluster.publish();
}

/// D17: "replica changes term without draining; op of old term written under new term": what a slower thread of the
/// replica still has in hand when the new term comes is of the old one, and is refused.
#[test]
fn operation_in_hand_when_the_term_changes_is_not_taken_in_the_new_one() {
    for writes in 1..=6 {
        let mut config = config();
        config.search.write_threads = 2;
        let mut cluster = Cluster::with_copies(3, config);
        for n in 0..writes {
            cluster.write(A, index(&n.to_string(), "x"));
        }
        cluster.cut(A, B);
        cluster.deliver_to(C);
        lose_primary(&mut cluster);
        cluster.pass(Duration::from_secs(1));
        let taken_late = cluster.events.iter().filter(|(host, event)| {
            let is_old = |term: &Term, sender: &Term| *term == Term(1) && *sender > Term(1);
            *host == C
                && matches!(event, EventKind::ReplicaAppended { term, sender_term, .. } if is_old(term, sender_term))
        });
        assert_eq!(taken_late.count(), 0, "{writes} writes");
        cluster.assert_copies_equal(&[B, C]);
        assert_eq!(cluster.get(C, "0"), None, "the new primary never had it");
    }
}

/// D19: "new primary relocates before sending trim; other replica keeps extra op".
#[test]
fn primary_that_is_to_move_at_once_resyncs_first() {
    let mut cluster = Cluster::with_copies(3, config());
    cluster.write(A, index("1", "everywhere"));
    cluster.run();
    cluster.cut(A, B);
    cluster.write(A, index("2", "on C only"));
    cluster.run();
    cluster.cut(B, C);
    lose_primary(&mut cluster);
    cluster.restart(A, Loss::Nothing);
    relocate(&mut cluster, B, A);
    cluster.publish();
    let handed = |cluster: &Cluster| {
        let is_hand_off = |event: &EventKind| matches!(event, EventKind::PrimaryDeactivated { why, .. } if why == "handed-off");
        cluster.events.iter().any(|(_, event)| is_hand_off(event))
    };
    assert!(cluster.get(C, "2").is_some() && !handed(&cluster), "the trim is on its way");
    cluster.heal();
    cluster.pass(Duration::from_secs(1));
    assert!(handed(&cluster));
    assert_eq!(cluster.get(C, "2"), None);
    cluster.assert_copies_equal(&[A, C]);
}

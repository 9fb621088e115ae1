//! Membership — decides whether, in the end, every live node sees exactly the live nodes. It never asks so
//! while faults go on.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        calm::Calm,
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, Point, clock, listed},
    },
    event::{Event, EventKind},
    name::{HostId, HostKind},
};

pub(super) const CONVERGES: Law = Law {
    name: "membership.converges",
    sentence: "At the end every live node's view of the members is the set of live nodes.",
    source: "ZooKeeper recipes, group membership: ephemeral registrations and a child watch read again after each \
             event; SEARCH.md §a.3",
    monitor: || Box::<Converges>::default(),
};

/// Not judged if the run ended before the cluster had its time to settle, or if views differ while links
/// are still cut: whom a node that is cut off must see is nobody's promise.
#[derive(Default)]
struct Converges {
    calm: Calm,
    views: BTreeMap<HostId, (Point, Vec<HostId>)>,
}

impl Converges {
    /// The first node whose view is not `live`, the place that shows it, and what it sees.
    fn astray(&self, live: &BTreeSet<HostId>, end: Point) -> Option<(Point, String)> {
        live.iter().find_map(|node| match self.views.get(node) {
            None => Some((end, format!("{node} has never read the list of members"))),
            Some((_, members)) if members.iter().copied().collect::<BTreeSet<_>>() == *live => None,
            Some((at, members)) => {
                Some((*at, format!("{node} last saw the members {{{}}} at {}", names(members), clock(at.at))))
            }
        })
    }
}

fn names<'a>(hosts: impl IntoIterator<Item = &'a HostId>) -> String {
    listed(hosts.into_iter().map(HostId::to_string), 12)
}

impl Monitor for Converges {
    fn observe(&mut self, event: &Event) -> Judged {
        self.calm.observe(event);
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::MembershipSeen { members } => {
                self.views.insert(host, (event.into(), members.clone()));
            }
            kind if is_new_life(kind) => {
                self.views.remove(&host);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        self.calm.is_long_enough()?;
        let live = self.calm.hosts.live(HostKind::Search);
        let why = |view: String| format!("{view}, but the live nodes are {{{}}}", names(&live));
        self.calm.judge_end(|end| self.astray(&live, end).map(|(at, view)| (at, why(view))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            record::{Record, search},
            verdict::Verdict,
        },
        event::EventKind as E,
    };

    const LAW: &str = "membership.converges";

    #[test]
    fn view_that_misses_a_live_node_fails() {
        let mut record = Record::healthy();
        let last = record.last(|event| matches!(event.kind, E::MembershipSeen { .. }));
        record.events[last].kind = E::MembershipSeen { members: vec![search(1), search(3)] };
        record.assert_fails(LAW, "search-3 last saw the members {search-1, search-3}");
    }

    #[test]
    fn node_that_never_read_the_members_in_this_life_fails() {
        let mut record = Record::healthy();
        let restarted = record.last(|event| {
            event.host == Some(search(1)) && matches!(event.kind, E::HostStarted { incarnation: 2 })
        });
        let seen =
            |event: &Event| event.host == Some(search(1)) && matches!(event.kind, E::MembershipSeen { .. });
        let mut index = 0;
        record.events.retain(|event| {
            index += 1;
            index <= restarted || !seen(event)
        });
        record.assert_fails(LAW, "search-1 has never read the list of members, but the live nodes are");
    }

    #[test]
    fn run_too_short_to_settle_is_unknown() {
        let mut record = Record::healthy();
        let end = record.events.len() - 1;
        record.insert_world(end, E::FaultEnded { step: 9, what: "a late cut".into() });
        let verdict = record.verdict(LAW);
        assert!(
            matches!(&verdict, Verdict::Unknown { budget } if budget.contains("`a late cut`")),
            "{verdict:?}"
        );
    }

    #[test]
    fn different_views_across_a_cut_that_stays_are_unknown() {
        let mut record = Record::healthy();
        let last = record.last(|event| matches!(event.kind, E::MembershipSeen { .. }));
        record.events[last].kind = E::MembershipSeen { members: vec![search(1)] };
        record.insert_world(1, E::LinkCut { from: search(3), to: search(2) });
        assert!(matches!(record.verdict(LAW), Verdict::Unknown { .. }));
    }
}

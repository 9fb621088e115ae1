//! Membership — decides whether, in the end, every live member sees exactly the live members. It never asks so
//! while faults go on.

use std::collections::BTreeSet;

use super::Sayings;
use crate::{
    check::{
        law::{Law, Monitor},
        verdict::{Judged, Point, clock, listed},
    },
    event::{Event, EventKind},
};

pub(in crate::check) const MEMBERS: Law = Law {
    name: "recipes.members",
    sentence: "At the end every live member's view of its group is the set of live members.",
    source: "zookeeper::recipes::membership, 3; ZooKeeper recipes, group membership",
    monitor: || Box::<Members>::default(),
};

/// Not judged if the run ended before its time to settle, or if views differ while links are cut.
#[derive(Default)]
struct Members {
    sayings: Sayings<Vec<String>>,
}

impl Members {
    /// The first member whose view is wrong.
    fn astray(&self, end: Point) -> Option<(Point, String)> {
        self.sayings.live().find_map(|(group, hosts)| {
            let live: BTreeSet<String> = hosts.iter().map(|(host, _)| host.to_string()).collect();
            let names = |names: &BTreeSet<String>| listed(names.iter().cloned(), 12);
            hosts.iter().find_map(|(host, said)| match said {
                None => Some((end, format!("{host} has never read the members of {group} in this life"))),
                Some((at, members)) => {
                    let seen: BTreeSet<String> = members.iter().cloned().collect();
                    let why = || {
                        let (seen, live, at) = (names(&seen), names(&live), clock(at.at));
                        format!("{host} last saw {{{seen}}} in {group} at {at}, but the live members are {{{live}}}")
                    };
                    (seen != live).then(|| (*at, why()))
                }
            })
        })
    }
}

impl Monitor for Members {
    fn observe(&mut self, event: &Event) -> Judged {
        self.sayings.observe(event);
        if let EventKind::MembersListed { group, members } = &event.kind {
            self.sayings.says(event, group, members.clone());
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        if self.sayings.said.is_empty() {
            return Ok(());
        }
        self.sayings.calm.is_quiet()?;
        self.sayings.calm.judge_end(|end| self.astray(end))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::recipes::tests::{client, quiet},
        event::EventKind as E,
    };

    const LAW: &str = "recipes.members";

    fn sees(members: &[&str]) -> E {
        let members = members.iter().map(|name| (*name).to_owned()).collect();
        E::MembersListed { group: "/g".into(), members }
    }

    #[test]
    fn view_that_misses_a_live_member_fails() {
        let record = quiet(|record| {
            record.on(client(2), sees(&["client-2", "client-3"])).on(client(3), sees(&["client-3"]));
        });
        record.assert_fails(LAW, "client-3 last saw {client-3} in /g");
    }

    #[test]
    fn view_that_keeps_a_dead_member_fails() {
        let record = quiet(|record| {
            record.on(client(2), sees(&["client-2", "client-3"]));
            record.on(client(3), sees(&["client-2", "client-3"]));
            record.on(client(3), E::HostCrashed { power: true });
        });
        record.assert_fails(LAW, "client-2 last saw {client-2, client-3}");
    }

    #[test]
    fn restarted_member_that_never_looked_fails() {
        let record = quiet(|record| {
            record.on(client(2), sees(&["client-2"]));
            record.on(client(2), E::HostCrashed { power: true });
            record.on(client(2), E::HostStarted { incarnation: 2 });
        });
        record.assert_fails(LAW, "client-2 has never read the members of /g in this life");
    }

    #[test]
    fn equal_views_of_the_living_pass() {
        let record = quiet(|record| {
            for number in [2, 3] {
                record.on(client(number), sees(&["client-2", "client-3"]));
            }
        });
        record.assert_passes(LAW);
    }
}

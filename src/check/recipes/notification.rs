//! Notification — decides whether subscribers received notices in order and without gaps. It never asks that a
//! notice come once.

use std::collections::{BTreeMap, BTreeSet};

use super::Sayings;
use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::HostId,
};

pub(in crate::check) const NOTICE_ORDER: Law = Law {
    name: "recipes.notice-order",
    sentence: "A subscriber receives notices in the order of their positions, and a position has one notice for all.",
    source: "zookeeper::recipes::notification, 1: sequential znodes of one parent",
    monitor: || Box::<Order>::default(),
};

pub(in crate::check) const NOTICES_WHOLE: Law = Law {
    name: "recipes.notices-whole",
    sentence: "A subscriber receives every notice after the first one it received, or is told that some are gone; at the \
               end it has all.",
    source: "zookeeper::recipes::notification, 2: the list is whole, the floor is read after it",
    monitor: || Box::<Whole>::default(),
};

/// Allowed: positions that no notice has; the same notice at two positions.
#[derive(Default)]
struct Order {
    notices: BTreeMap<(String, i64), (String, u64)>,
    received: BTreeMap<(String, HostId), i64>,
}

impl Monitor for Order {
    fn observe(&mut self, event: &Event) -> Judged {
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::NoticeReceived { topic, publisher, number, position } => {
                let notice = (publisher.clone(), *number);
                let first = self.notices.entry((topic.clone(), *position)).or_insert_with(|| notice.clone());
                if *first != notice {
                    let why = format!(
                        "{host} received notice {number} of {publisher} at position {position} of {topic}, where others \
                         received notice {} of {}",
                        first.1, first.0
                    );
                    return broken(event, why);
                }
                match self.received.insert((topic.clone(), host), *position) {
                    Some(former) if former >= *position => broken(
                        event,
                        format!("{host} received position {position} of {topic} after {former}"),
                    ),
                    _ => Ok(()),
                }
            }
            kind if is_new_life(kind) => {
                self.received.retain(|(_, other), _| *other != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What one life of a subscriber has of a topic.
#[derive(Debug, Clone, Default)]
struct Shelf {
    /// From here on it is to receive everything; none before the first notice.
    begins: Option<i64>,
    received: BTreeSet<i64>,
    missed: Vec<(i64, i64)>,
}

impl Shelf {
    fn accounts_for(&self, position: i64) -> bool {
        self.received.contains(&position)
            || self.missed.iter().any(|(from, first)| (*from..*first).contains(&position))
    }
}

/// What is published is known from publishers and from other subscribers. The first notice of a life is where
/// it begins; what follows is judged up to the last one received, and up to the end if the run was quiet.
#[derive(Default)]
struct Whole {
    published: BTreeMap<String, BTreeSet<i64>>,
    shelves: BTreeMap<(String, HostId), Shelf>,
    /// Shelves of lives that are over.
    closed: Vec<(String, HostId, Shelf)>,
    sayings: Sayings<()>,
}

impl Whole {
    fn gap(&self, topic: &str, shelf: &Shelf, up_to: Option<i64>) -> Option<i64> {
        let begins = shelf.begins?;
        let end = up_to.unwrap_or(i64::MAX);
        let mut published =
            self.published.get(topic)?.range(begins..).take_while(|position| **position <= end);
        published.find(|position| !shelf.accounts_for(**position)).copied()
    }

    fn close(&mut self, host: HostId) {
        let ended: Vec<_> = self.shelves.keys().filter(|(_, other)| *other == host).cloned().collect();
        for key in ended {
            let shelf = self.shelves.remove(&key).unwrap_or_default();
            self.closed.push((key.0, host, shelf));
        }
    }

    fn shelf(&mut self, event: &Event, topic: &str, host: HostId) -> &mut Shelf {
        self.sayings.says(event, topic, ());
        self.shelves.entry((topic.to_owned(), host)).or_default()
    }

    fn gap_within(&self) -> Judged {
        let open = self.shelves.iter().map(|((topic, host), shelf)| (topic, host, shelf));
        let closed = self.closed.iter().map(|(topic, host, shelf)| (topic, host, shelf));
        let end = self.sayings.calm.end()?;
        for (topic, host, shelf) in closed.chain(open) {
            if let Some(gap) = self.gap(topic, shelf, shelf.received.last().copied()) {
                return broken(end, format!("{host} received later notices of {topic}, but not {gap}"));
            }
        }
        Ok(())
    }

    /// The first live subscriber that lacks something at the end.
    fn lack(&self) -> Option<String> {
        self.sayings.live().find_map(|(topic, hosts)| {
            hosts.iter().find_map(|(host, _)| {
                let Some(shelf) = self.shelves.get(&(topic.to_owned(), *host)) else {
                    return Some(format!("{host} has received nothing of {topic} in this life"));
                };
                let gap = self.gap(topic, shelf, None)?;
                Some(format!("{host} never received notice {gap} of {topic}"))
            })
        })
    }
}

impl Monitor for Whole {
    fn observe(&mut self, event: &Event) -> Judged {
        self.sayings.observe(event);
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::NoticePublished { topic, position, .. } => {
                self.published.entry(topic.clone()).or_default().insert(*position);
            }
            EventKind::NoticeReceived { topic, position, .. } => {
                self.published.entry(topic.clone()).or_default().insert(*position);
                let shelf = self.shelf(event, topic, host);
                shelf.begins.get_or_insert(*position);
                shelf.received.insert(*position);
            }
            EventKind::NoticesMissed { topic, from, first } => {
                let shelf = self.shelf(event, topic, host);
                shelf.begins.get_or_insert(*from);
                shelf.missed.push((*from, *first));
            }
            kind if is_new_life(kind) => self.close(host),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        if self.published.is_empty() {
            return Ok(());
        }
        self.gap_within()?;
        self.sayings.calm.is_quiet()?;
        self.sayings.calm.judge_end(|end| self.lack().map(|why| (end, why)))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{
            recipes::tests::{client, quiet},
            record::Record,
        },
        event::EventKind as E,
    };

    fn received(number: u64, position: i64) -> E {
        E::NoticeReceived { topic: "/t".into(), publisher: "client-9".into(), number, position }
    }

    fn published(number: u64, position: i64) -> E {
        E::NoticePublished { topic: "/t".into(), number, position }
    }

    const ORDER: &str = "recipes.notice-order";
    const WHOLE: &str = "recipes.notices-whole";

    #[test]
    fn notice_received_after_a_later_one_fails() {
        let mut record = Record::default();
        record.on(client(2), received(1, 5)).on(client(2), received(2, 4));
        record.assert_fails(ORDER, "client-2 received position 4 of /t after 5");
    }

    #[test]
    fn different_notices_at_one_position_fail() {
        let mut record = Record::default();
        record.on(client(2), received(1, 5)).on(client(3), received(2, 5));
        record.assert_fails(ORDER, "where others received notice 1 of client-9");
    }

    #[test]
    fn new_life_may_begin_anew() {
        let mut record = Record::default();
        record.on(client(2), received(1, 5)).on(client(2), E::HostStarted { incarnation: 2 });
        record.on(client(2), received(1, 5));
        record.assert_passes(ORDER);
    }

    #[test]
    fn notice_left_out_fails() {
        let record = quiet(|record| {
            record.on(client(9), published(2, 6));
            record.on(client(2), received(1, 5)).on(client(2), received(3, 7));
        });
        record.assert_fails(WHOLE, "client-2 received later notices of /t, but not 6");
    }

    #[test]
    fn notice_that_was_said_to_be_gone_may_be_left_out() {
        let record = quiet(|record| {
            record.on(client(9), published(2, 6));
            let missed = E::NoticesMissed { topic: "/t".into(), from: 6, first: 7 };
            record.on(client(2), received(1, 5)).on(client(2), missed).on(client(2), received(3, 7));
        });
        record.assert_passes(WHOLE);
    }

    #[test]
    fn notice_left_out_by_an_earlier_life_fails() {
        let record = quiet(|record| {
            record.on(client(9), published(2, 6));
            record.on(client(2), received(1, 5)).on(client(2), received(3, 7));
            record.on(client(2), E::HostCrashed { power: true });
        });
        record.assert_fails(WHOLE, "but not 6");
    }

    #[test]
    fn last_notice_that_never_came_fails() {
        let record = quiet(|record| {
            record.on(client(2), received(1, 5)).on(client(9), published(2, 6));
        });
        record.assert_fails(WHOLE, "client-2 never received notice 6 of /t");
    }

    #[test]
    fn subscriber_that_has_all_passes() {
        let record = quiet(|record| {
            record.on(client(9), published(1, 5)).on(client(9), published(2, 6));
            record.on(client(2), received(1, 5)).on(client(2), received(2, 6));
        });
        record.assert_passes(WHOLE);
    }
}

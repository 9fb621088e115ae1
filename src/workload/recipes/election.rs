//! Candidates — decides what members that elect a leader do: the leader writes, and resigns now and then. It
//! never trusts that it leads: only the fence decides whether a write counts.

use std::collections::BTreeMap;

use super::{MemberPlan, layout};
use crate::{
    core::Instant,
    event::EventKind,
    name::Epoch,
    scenario::zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    zookeeper::{
        client::{
            ClientNews, RequestId,
            app::{App, Desk},
        },
        recipes::{
            Layout, Leadership,
            leadership::{Fenced, Office},
        },
        wire::Op,
    },
};

const GROUP: &str = "/recipes/election";
const TICKETS: &str = "/recipes/election/tickets";
const COUNTER: &str = "/recipes/election/epoch";
/// What the leader writes.
const LEDGER: &str = "/recipes/election/ledger";

/// A member that stands for election.
#[derive(Debug)]
pub(super) struct Candidate {
    layout: Layout,
    leadership: Leadership,
    plan: MemberPlan,
    /// Fenced writes without an answer, with their epochs.
    writes: BTreeMap<RequestId, Epoch>,
}

impl Candidate {
    pub(super) fn new(plan: MemberPlan) -> Self {
        Self {
            layout: layout(&[GROUP, TICKETS, COUNTER, LEDGER]),
            leadership: Leadership::new(TICKETS, COUNTER),
            plan,
            writes: BTreeMap::new(),
        }
    }

    fn lead(&mut self, desk: &mut Desk<'_>, action: &ZooKeeperOperation) {
        let Some(term) = self.leadership.term() else { return };
        if action.ask == ZooKeeperAsk::Resign {
            return self.resign(desk);
        }
        let data = Some(format!("{} {}", term.epoch, self.plan.stamp(action)).into_bytes().into());
        let write = Op::SetData { path: LEDGER.to_owned(), data, version: -1 };
        if let Some(op) = self.leadership.fence([write]) {
            self.writes.insert(desk.client.ask(op), term.epoch);
        }
    }

    fn resign(&mut self, desk: &mut Desk<'_>) {
        if let Some(office) = self.leadership.resign(desk.client) {
            note(desk, office);
        }
    }

    fn written(&mut self, desk: &mut Desk<'_>, epoch: Epoch, outcome: Fenced) {
        match outcome {
            Fenced::Written(zxid) => {
                desk.note(EventKind::LeaderWrote { group: GROUP.to_owned(), epoch, zxid });
            }
            Fenced::Deposed if self.leadership.term().is_some_and(|term| term.epoch == epoch) => {
                self.resign(desk);
            }
            Fenced::Deposed | Fenced::Unknown => {}
        }
    }
}

fn note(desk: &mut Desk<'_>, office: Office) {
    let group = GROUP.to_owned();
    desk.note(match office {
        Office::Taken(drawn) => EventKind::LeadershipTaken { group, epoch: drawn.epoch, zxid: drawn.zxid },
        Office::Lost(drawn) => EventKind::LeadershipLost { group, epoch: drawn.epoch },
    });
}

impl App for Candidate {
    fn begin(&mut self, desk: &mut Desk<'_>) {
        desk.note(EventKind::LeadershipSought { group: GROUP.to_owned() });
        self.layout.begin(desk.client);
    }

    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        if self.layout.news(desk.client, news) {
            self.leadership.begin(desk.client);
        }
        if let Some(office) = self.leadership.news(desk.client, news) {
            note(desk, office);
        }
        if let ClientNews::Reply { id, result } = news
            && let Some(epoch) = self.writes.remove(id)
        {
            self.written(desk, epoch, Fenced::of(result));
        }
    }

    fn act(&mut self, desk: &mut Desk<'_>) {
        if let Some(action) = self.plan.agenda.last_due(desk.now) {
            self.lead(desk, &action);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.plan.agenda.next_at()
    }
}

//! Members — decides what members of a group that see each other do: now and then one leaves and comes back. It
//! never tells anyone anything.

use super::{MemberPlan, layout};
use crate::{
    core::Instant,
    event::EventKind,
    zookeeper::{
        client::{
            ClientNews, ClientState,
            app::{App, Desk},
        },
        recipes::{Layout, Membership, membership::Roll},
        wire::Op,
    },
};

const GROUP: &str = "/recipes/members";

/// A member that registers and looks.
#[derive(Debug)]
pub(super) struct Member {
    layout: Layout,
    membership: Membership,
    plan: MemberPlan,
}

impl Member {
    pub(super) fn new(plan: MemberPlan) -> Self {
        let name = plan.me.to_string();
        Self { layout: layout(&[GROUP]), membership: Membership::new(GROUP, &name, None), plan }
    }
}

impl App for Member {
    fn begin(&mut self, desk: &mut Desk<'_>) {
        self.layout.begin(desk.client);
    }

    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        if self.layout.news(desk.client, news) {
            self.membership.begin(desk.client);
        }
        for roll in self.membership.news(desk.client, news) {
            let group = GROUP.to_owned();
            desk.note(match roll {
                Roll::Joined(session) => EventKind::MemberJoined { group, session },
                Roll::Members(members) => EventKind::MembersListed { group, members },
            });
        }
    }

    fn act(&mut self, desk: &mut Desk<'_>) {
        let is_due = self.plan.agenda.last_due(desk.now).is_some();
        if is_due && desk.client.state() == ClientState::Connected {
            desk.client.ask(Op::CloseSession);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.plan.agenda.next_at()
    }
}

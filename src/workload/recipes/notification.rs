//! Correspondents — decides what members of a topic do: each publishes now and then, and receives everything.
//! It never stores a position: a new life begins with the oldest notice there is.

use super::{MemberPlan, layout};
use crate::{
    core::Instant,
    event::EventKind,
    zookeeper::{
        client::{
            ClientNews,
            app::{App, Desk},
        },
        recipes::{
            Layout, Publisher, Subscription,
            notification::{Delivery, Notice},
        },
    },
};

const TOPIC: &str = "/recipes/topic";
/// Notices that may wait for their turn before nothing more is published.
const WAITING_MAX: usize = 20;

/// A member that publishes and receives.
#[derive(Debug)]
pub(super) struct Correspondent {
    layout: Layout,
    publisher: Publisher,
    subscription: Subscription,
    plan: MemberPlan,
}

impl Correspondent {
    pub(super) fn new(plan: MemberPlan, retained: usize) -> Self {
        let name = format!("{}.{}", plan.me, plan.life);
        Self {
            layout: layout(&[TOPIC]),
            publisher: Publisher::new(TOPIC, name, retained),
            subscription: Subscription::new(TOPIC, None),
            plan,
        }
    }
}

impl App for Correspondent {
    fn begin(&mut self, desk: &mut Desk<'_>) {
        self.layout.begin(desk.client);
    }

    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        if self.layout.news(desk.client, news) {
            self.publisher.begin(desk.client);
            self.subscription.begin(desk.client);
        }
        let topic = TOPIC.to_owned();
        if let Some(published) = self.publisher.news(desk.client, news) {
            let (number, position) = (published.number, published.position);
            desk.note(EventKind::NoticePublished { topic: topic.clone(), number, position });
        }
        if let Some(delivery) = self.subscription.news(desk.client, news) {
            desk.note(match delivery {
                Delivery::Notice(Notice { position, publisher, number, .. }) => {
                    EventKind::NoticeReceived { topic, publisher, number, position }
                }
                Delivery::Missed { from, first } => EventKind::NoticesMissed { topic, from, first },
            });
        }
    }

    fn act(&mut self, desk: &mut Desk<'_>) {
        let Some(action) = self.plan.agenda.last_due(desk.now) else { return };
        if self.publisher.waiting() < WAITING_MAX {
            let data = Some(self.plan.stamp(&action).into_bytes().into());
            self.publisher.publish(desk.client, data);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.plan.agenda.next_at()
    }
}

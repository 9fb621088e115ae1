//! Authors — decides what members that share a setting do: each changes it now and then, building on what it
//! has applied. It never tries a change again that was overtaken.

use super::{MemberPlan, layout};
use crate::{
    core::Instant,
    event::{Digest, EventKind},
    zookeeper::{
        client::{
            ClientNews,
            app::{App, Desk},
        },
        recipes::{
            Configuration, Layout,
            configuration::{Fate, Setting},
        },
        wire::{Data, Stat},
    },
};

const PATH: &str = "/recipes/configuration";

/// A member that applies the setting, and changes it.
#[derive(Debug)]
pub(super) struct Author {
    layout: Layout,
    configuration: Configuration,
    plan: MemberPlan,
    /// The version last applied.
    base: Option<i32>,
    proposed: Digest,
}

impl Author {
    pub(super) fn new(plan: MemberPlan) -> Self {
        Self {
            layout: layout(&[PATH]),
            configuration: Configuration::new(PATH),
            plan,
            base: None,
            proposed: Digest::default(),
        }
    }

    fn applied(&mut self, desk: &mut Desk<'_>, data: &Data, stat: Stat) {
        self.base = Some(stat.version);
        let (path, version, zxid) = (PATH.to_owned(), stat.version, stat.mzxid);
        desk.note(EventKind::ConfigApplied { path, version, zxid, value: digest(data) });
    }

    fn settled(&mut self, desk: &mut Desk<'_>, fate: Fate) {
        if let Fate::Written(stat) = fate {
            let (path, version, zxid) = (PATH.to_owned(), stat.version, stat.mzxid);
            desk.note(EventKind::ConfigWritten { path, version, zxid, value: self.proposed });
        }
    }
}

fn digest(data: &Data) -> Digest {
    Digest::of(data.as_deref().unwrap_or_default())
}

impl App for Author {
    fn begin(&mut self, desk: &mut Desk<'_>) {
        self.layout.begin(desk.client);
    }

    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        if self.layout.news(desk.client, news) {
            self.configuration.begin(desk.client);
        }
        for setting in self.configuration.news(desk.client, news) {
            match setting {
                Setting::Applied(data, stat) => self.applied(desk, &data, stat),
                Setting::Settled(fate) => self.settled(desk, fate),
            }
        }
    }

    fn act(&mut self, desk: &mut Desk<'_>) {
        let Some(action) = self.plan.agenda.last_due(desk.now) else { return };
        let Some(base) = self.base else { return };
        if self.configuration.is_settled() && desk.client.session().is_some() {
            let data: Data = Some(self.plan.stamp(&action).into_bytes().into());
            self.proposed = digest(&data);
            self.configuration.propose(desk.client, data, base);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.plan.agenda.next_at()
    }
}

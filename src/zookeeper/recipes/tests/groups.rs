//! Tests of the four recipes — decides whether what their docs promise holds, by the very laws that runs are
//! judged by, whatever becomes of connections, sessions and processes. It never looks into a recipe.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::super::{
    configuration::{Fate, Setting},
    leadership::{Fenced, Office},
    membership::Roll,
    notification::Delivery,
    *,
};
use crate::{
    check::{law, verdict::Verdict},
    core::{Entropy, Input, Instant},
    event::{Digest, Event, EventKind},
    name::{Epoch, HostId, SimTime},
    zookeeper::{
        client::{
            ClientConfig,
            app::{App, Desk, Process},
            bench::{Bench, Speaks},
        },
        peer::Message,
        wire::{ClientFrame, Data, ServerFrame},
    },
};

impl<A: App> Speaks for Process<A> {
    fn to_zookeeper(message: Message) -> Option<ClientFrame> {
        match message {
            Message::ToServer(frame) => Some(frame),
            _ => None,
        }
    }

    fn from_zookeeper(frame: ServerFrame) -> Message {
        Message::ToClient(frame)
    }
}

/// A member of one group of each kind, which acts every 200 ms until it is time to be quiet.
struct Member {
    name: String,
    layout: Layout,
    leadership: Leadership,
    membership: Membership,
    configuration: Configuration,
    publisher: Publisher,
    subscription: Subscription,
    writes: BTreeMap<RequestId, Epoch>,
    base: Option<i32>,
    proposed: Digest,
    acts: u64,
    next: Instant,
}

const EVERY: Duration = Duration::from_millis(200);
const QUIET_FROM: Instant = Instant(20_000_000_000);
const TIMEOUT: Duration = Duration::from_secs(4);

fn text(text: &str) -> Data {
    Some(text.as_bytes().into())
}

impl Member {
    fn new(name: String, life: u32, now: u64, retained: usize) -> Self {
        let paths = ["/app", "/app/tickets", "/app/epoch", "/app/ledger", "/app/members", "/app/value"];
        let paths = paths.iter().chain(&["/app/topic"]);
        Self {
            layout: Layout::new(paths.map(|path| ((*path).to_owned(), None)).collect()),
            leadership: Leadership::new("/app/tickets", "/app/epoch"),
            membership: Membership::new("/app/members", &name, None),
            configuration: Configuration::new("/app/value"),
            publisher: Publisher::new("/app/topic", format!("{name}.{life}"), retained),
            subscription: Subscription::new("/app/topic", None),
            writes: BTreeMap::new(),
            base: None,
            proposed: Digest::default(),
            acts: 0,
            next: Instant(now),
            name,
        }
    }

    fn led(desk: &mut Desk<'_>, office: Office) {
        let group = "/app".to_owned();
        desk.note(match office {
            Office::Taken(Drawn { epoch, zxid, .. }) => EventKind::LeadershipTaken { group, epoch, zxid },
            Office::Lost(Drawn { epoch, .. }) => EventKind::LeadershipLost { group, epoch },
        });
    }

    fn set(&mut self, desk: &mut Desk<'_>, setting: Setting) {
        let path = "/app/value".to_owned();
        match setting {
            Setting::Applied(data, stat) => {
                self.base = Some(stat.version);
                let value = Digest::of(data.as_deref().unwrap_or_default());
                let (version, zxid) = (stat.version, stat.mzxid);
                desk.note(EventKind::ConfigApplied { path, version, zxid, value });
            }
            Setting::Settled(Fate::Written(stat)) => {
                let (version, zxid, value) = (stat.version, stat.mzxid, self.proposed);
                desk.note(EventKind::ConfigWritten { path, version, zxid, value });
            }
            Setting::Settled(Fate::Overtaken | Fate::Unknown) => {}
        }
    }

    fn notices(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        let topic = "/app/topic".to_owned();
        if let Some(published) = self.publisher.news(desk.client, news) {
            let (number, position) = (published.number, published.position);
            desk.note(EventKind::NoticePublished { topic: topic.clone(), number, position });
        }
        match self.subscription.news(desk.client, news) {
            Some(Delivery::Notice(notice)) => {
                let (publisher, number, position) = (notice.publisher, notice.number, notice.position);
                desk.note(EventKind::NoticeReceived { topic, publisher, number, position });
            }
            Some(Delivery::Missed { from, first }) => {
                desk.note(EventKind::NoticesMissed { topic, from, first });
            }
            None => {}
        }
    }

    fn written(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        let ClientNews::Reply { id, result } = news else { return };
        let Some(epoch) = self.writes.remove(id) else { return };
        if let Fenced::Written(zxid) = Fenced::of(result) {
            desk.note(EventKind::LeaderWrote { group: "/app".to_owned(), epoch, zxid });
        }
    }
}

impl App for Member {
    fn begin(&mut self, desk: &mut Desk<'_>) {
        desk.note(EventKind::LeadershipSought { group: "/app".to_owned() });
        self.layout.begin(desk.client);
    }

    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        if self.layout.news(desk.client, news) {
            self.leadership.begin(desk.client);
            self.membership.begin(desk.client);
            self.configuration.begin(desk.client);
            self.publisher.begin(desk.client);
            self.subscription.begin(desk.client);
        }
        if let Some(office) = self.leadership.news(desk.client, news) {
            Self::led(desk, office);
        }
        for roll in self.membership.news(desk.client, news) {
            let group = "/app/members".to_owned();
            desk.note(match roll {
                Roll::Joined(session) => EventKind::MemberJoined { group, session },
                Roll::Members(members) => EventKind::MembersListed { group, members },
            });
        }
        for setting in self.configuration.news(desk.client, news) {
            self.set(desk, setting);
        }
        self.notices(desk, news);
        self.written(desk, news);
    }

    fn act(&mut self, desk: &mut Desk<'_>) {
        if desk.now < self.next || self.next >= QUIET_FROM {
            return;
        }
        self.next = desk.now + EVERY;
        self.acts += 1;
        let stamp = format!("{} {}", self.name, self.acts);
        let write = Op::SetData { path: "/app/ledger".to_owned(), data: text(&stamp), version: -1 };
        if let (Some(op), Some(term)) = (self.leadership.fence([write]), self.leadership.term()) {
            self.writes.insert(desk.client.ask(op), term.epoch);
        }
        if let Some(base) = self.base.filter(|_| self.configuration.is_settled()) {
            self.proposed = Digest::of(stamp.as_bytes());
            self.configuration.propose(desk.client, text(&stamp), base);
        }
        self.publisher.publish(desk.client, text(&stamp));
    }

    fn next_wake(&self) -> Option<Instant> {
        Some(self.next).filter(|next| *next < QUIET_FROM)
    }
}

/// What befalls a member.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    Break,
    EndSession,
    Restart,
    Pause(u64),
    Silence(u64),
}

struct Group {
    bench: Bench<Process<Member>>,
    lives: BTreeMap<HostId, u32>,
    retained: usize,
}

impl Group {
    fn new(size: u16, retained: usize) -> Self {
        let mut group = Self { bench: Bench::new(), lives: BTreeMap::new(), retained };
        (1..=size).for_each(|number| group.start(HostId::client(number)));
        group
    }

    fn start(&mut self, host: HostId) {
        let life = self.lives.entry(host).and_modify(|life| *life += 1).or_insert(1);
        self.bench.events.push((self.bench.now, host, EventKind::HostStarted { incarnation: *life }));
        let member = Member::new(host.to_string(), *life, self.bench.now, self.retained);
        let config = ClientConfig::new(vec![HostId::zookeeper(1), HostId::zookeeper(2)], TIMEOUT);
        let seed = u64::from(host.number) + 100 * u64::from(*life);
        self.bench.start(host, Process::new(member, config, Entropy::new(seed), Instant(0)));
    }

    fn suffer(&mut self, host: HostId, mishap: Mishap) {
        let millis = Duration::from_millis;
        match mishap {
            Mishap::Break => self.bench.break_zookeeper(host),
            Mishap::Restart => self.start(host),
            Mishap::EndSession => {
                let session = self.bench.core(host).client().session();
                session.iter().for_each(|session| self.bench.fake.end(*session));
            }
            Mishap::Pause(span) => {
                self.bench.pause(host);
                self.bench.run(millis(span));
                self.bench.resume(host);
                self.bench.step(host, Input::Wake);
            }
            Mishap::Silence(span) => {
                self.bench.silence(host);
                self.bench.run(millis(span));
                self.bench.hear(host);
            }
        }
    }

    /// Lets everything come to rest, and has the laws of the recipes judge what was said.
    fn verdicts(mut self) -> Vec<(String, Verdict)> {
        let rest = QUIET_FROM.0.saturating_sub(self.bench.now) + 30_000_000_000;
        self.bench.run(Duration::from_nanos(rest));
        let begin = EventKind::RunStarted {
            scenario: "recipes".into(),
            seed: 0,
            servers: Vec::new(),
            nodes: Vec::new(),
            copies: 0,
            settle_bound: 20_000_000_000,
            read_policy: "any".into(),
            allocator: "balanced".into(),
        };
        let end = self.bench.now;
        let told = self.bench.events.into_iter().map(|(at, host, kind)| (at, Some(host), kind));
        let ends = [(end, None, EventKind::QuietBegan), (end, None, EventKind::RunEnded)];
        let all = std::iter::once((0, None, begin)).chain(told).chain(ends);
        let numbered =
            (0..).zip(all).map(|(seq, (at, host, kind))| Event { seq, at: SimTime(at), host, kind });
        let events: Vec<Event> = numbered.collect();
        let names = law::LAWS.iter().map(|law| law.name).filter(|name| name.starts_with("recipes."));
        let names: Vec<String> = names.map(str::to_owned).collect();
        let judged = law::judge(&events, &names).unwrap();
        judged.into_iter().map(|judgement| (judgement.law, judgement.verdict)).collect()
    }

    #[track_caller]
    fn assert_keeps_its_promises(self, when: &str) {
        for (law, verdict) in self.verdicts() {
            assert_eq!(verdict, Verdict::Pass, "{law}, {when}");
        }
    }

    fn count(&self, what: impl Fn(&EventKind) -> bool) -> usize {
        self.bench.notes(None).filter(|event| what(event)).count()
    }
}

#[test]
fn undisturbed_group_keeps_every_promise_and_does_something() {
    let mut group = Group::new(3, 20);
    group.bench.run(Duration::from_secs(20));
    assert_eq!(group.count(|event| matches!(event, EventKind::LeadershipTaken { .. })), 1);
    assert!(group.count(|event| matches!(event, EventKind::LeaderWrote { .. })) > 50);
    assert!(group.count(|event| matches!(event, EventKind::ConfigWritten { .. })) > 50);
    assert!(group.count(|event| matches!(event, EventKind::NoticePublished { .. })) > 250);
    assert!(group.count(|event| matches!(event, EventKind::NoticeReceived { .. })) > 750);
    assert!(group.bench.fake.children("/app/topic").len() < 50, "old notices are trimmed");
    group.assert_keeps_its_promises("undisturbed");
}

#[test]
fn connection_lost_at_any_frame_breaks_no_promise() {
    for frame in (1..400).step_by(7) {
        let mut group = Group::new(2, 20);
        group.bench.lose_frame = Some(frame);
        group.assert_keeps_its_promises(&format!("without frame {frame}"));
    }
}

#[test]
fn leader_that_slept_through_its_session_writes_nothing_more() {
    let mut group = Group::new(2, 20);
    group.bench.run(Duration::from_secs(3));
    let leads = |group: &mut Group, host| group.bench.core(host).app().leadership.term();
    let first =
        [1, 2].map(HostId::client).into_iter().find(|host| leads(&mut group, *host).is_some()).unwrap();
    group.suffer(first, Mishap::Pause(8_000));
    group.bench.run(Duration::from_secs(3));
    let taken = group.count(|event| matches!(event, EventKind::LeadershipTaken { .. }));
    assert_eq!(taken, 2, "the other one has led meanwhile");
    group.assert_keeps_its_promises("after a long sleep");
}

#[test]
fn subscriber_that_was_away_for_long_is_told_what_it_missed() {
    let mut group = Group::new(3, 10);
    group.bench.run(Duration::from_secs(3));
    group.suffer(HostId::client(1), Mishap::Silence(8_000));
    group.bench.run(Duration::from_secs(3));
    let missed = |event: &EventKind| matches!(event, EventKind::NoticesMissed { .. });
    assert!(group.bench.notes(Some(HostId::client(1))).any(missed));
    group.assert_keeps_its_promises("after a long absence");
}

/// "One change at a time": the second author of two that build on one version is overtaken.
#[test]
fn change_that_was_overtaken_is_reported_so() {
    let mut group = Group::new(3, 20);
    group.bench.run(Duration::from_secs(20));
    let mut versions = BTreeMap::new();
    for event in group.bench.notes(None) {
        if let EventKind::ConfigWritten { version, .. } = event {
            *versions.entry(*version).or_insert(0) += 1;
        }
    }
    assert!(versions.values().all(|count| *count == 1), "each version has one author: {versions:?}");
    let last = *versions.keys().next_back().unwrap();
    assert!(versions.len() as i32 == last, "every version has an author who knows: {versions:?}");
}

fn mishap() -> impl Strategy<Value = (u16, u64, Mishap)> {
    let kinds = prop_oneof![
        4 => Just(Mishap::Break),
        2 => Just(Mishap::EndSession),
        2 => Just(Mishap::Restart),
        1 => (100_u64..7_000).prop_map(Mishap::Pause),
        1 => (100_u64..7_000).prop_map(Mishap::Silence),
    ];
    (1_u16..=3, 0_u64..2_500, kinds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Connections, sessions and processes that end at any point break no promise.
    #[test]
    fn mishaps_at_any_point_break_no_promise(mishaps in prop::collection::vec(mishap(), 1..8), retained in 5_usize..40) {
        let mut group = Group::new(3, retained);
        for (number, after, mishap) in &mishaps {
            group.bench.run(Duration::from_millis(*after));
            group.suffer(HostId::client(*number), *mishap);
        }
        for (law, verdict) in group.verdicts() {
            prop_assert_eq!(verdict, Verdict::Pass, "{}", law);
        }
    }
}

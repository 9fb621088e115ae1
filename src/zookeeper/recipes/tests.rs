//! Tests of the recipes — decides whether each keeps its promise on an ensemble that never fails, whatever
//! becomes of connections and sessions. It never looks into a recipe.

mod groups;

use std::time::Duration;

use super::*;
use crate::{
    core::{Core, Entropy, Input, Instant, Now, Output},
    name::{Epoch, HostId, SessionId},
    zookeeper::{
        client::{
            ClientConfig, ClientNews,
            bench::{Bench, Frame, Speaks},
        },
        wire::{ClientFrame, CreateMode, ServerFrame},
    },
};

/// A client with one recipe each.
struct Actor {
    client: Client,
    layout: Layout,
    registration: Registration,
    candidacy: Candidacy,
    counter: EpochCounter,
    follow: Follow,
    children: Follow,
    fresh: FreshRead,
    session: Option<SessionId>,
    registered: Vec<SessionId>,
    standing: Vec<Standing>,
    drawn: Vec<Epoch>,
    seen: Vec<Seen>,
    names: Vec<Seen>,
    ready: u32,
}

fn actor(number: u16) -> Actor {
    let config = ClientConfig::new(vec![HostId::zookeeper(1), HostId::zookeeper(2)], Duration::from_secs(4));
    let znodes = ["/app", "/app/members", "/app/election", "/app/counter", "/app/value"];
    Actor {
        client: Client::new(config, Entropy::new(u64::from(number))),
        layout: Layout::new(znodes.iter().map(|path| ((*path).to_owned(), None)).collect()),
        registration: Registration::new(format!("/app/members/{number}"), Some(b"zone".as_slice().into())),
        candidacy: Candidacy::new("/app/election"),
        counter: EpochCounter::new("/app/counter"),
        follow: Follow::new("/app/value", What::Data),
        children: Follow::new("/app/members", What::Children),
        fresh: FreshRead::new("/app/value"),
        session: None,
        registered: Vec::new(),
        standing: Vec::new(),
        drawn: Vec::new(),
        seen: Vec::new(),
        names: Vec::new(),
        ready: 0,
    }
}

impl Actor {
    fn digest(&mut self, news: &ClientNews) {
        let client = &mut self.client;
        if self.layout.news(client, news) {
            self.ready += 1;
            self.registration.begin(client);
            self.candidacy.begin(client);
            self.follow.begin(client);
            self.children.begin(client);
        }
        self.registered.extend(self.registration.news(client, news));
        if let Some(standing) = self.candidacy.news(client, news) {
            self.standing.push(standing);
            if standing == Standing::Leading {
                self.counter.begin(client);
            }
        }
        self.drawn.extend(self.counter.news(client, news).map(|drawn| drawn.epoch));
        self.seen.extend(self.follow.news(client, news));
        self.names.extend(self.children.news(client, news));
        self.fresh.news(client, news);
        if matches!(news, ClientNews::State(ClientState::Connected)) && self.session != client.session() {
            self.session = client.session();
            self.layout.begin(client);
        }
    }

    fn settle(&mut self, now: Instant, out: &mut Output<Frame>) {
        loop {
            let news = self.client.take_news();
            if news.is_empty() {
                return self.client.flush(now, out);
            }
            for news in news {
                self.digest(&news);
                if news == ClientNews::State(ClientState::Expired) {
                    self.client.start(now, out);
                }
            }
        }
    }
}

impl Core for Actor {
    type Message = Frame;

    fn step(&mut self, now: Now, input: Input<Frame>, out: &mut Output<Frame>) {
        let now = now.mono;
        match input {
            Input::Start => self.client.start(now, out),
            Input::Wake => self.client.wake(now, out),
            Input::Connected { conn } => self.client.connected(now, conn, out),
            Input::Received { conn, message: Frame::ToClient(frame) } => {
                self.client.received(now, conn, frame, out);
            }
            Input::Closed { conn, .. } => self.client.closed(now, conn, out),
            other => panic!("a client is not given {other:?}"),
        }
        self.settle(now, out);
    }

    fn next_wake(&self) -> Option<Instant> {
        self.client.next_wake()
    }
}

impl Speaks for Actor {
    fn to_zookeeper(message: Frame) -> Option<ClientFrame> {
        match message {
            Frame::ToServer(frame) => Some(frame),
            Frame::ToClient(_) => None,
        }
    }

    fn from_zookeeper(frame: ServerFrame) -> Frame {
        Frame::ToClient(frame)
    }
}

const A: HostId = HostId::client(1);
const B: HostId = HostId::client(2);
const C: HostId = HostId::client(3);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn bench(hosts: &[HostId]) -> Bench<Actor> {
    let mut bench = Bench::new();
    for host in hosts {
        bench.start(*host, actor(host.number));
        bench.run(seconds(1));
    }
    bench
}

fn leader(bench: &mut Bench<Actor>, hosts: &[HostId]) -> Vec<HostId> {
    let leads = |host: &&HostId| bench.core(**host).standing.last() == Some(&Standing::Leading);
    hosts.iter().filter(leads).copied().collect()
}

fn set(path: &str, text: &str) -> Op {
    Op::SetData { path: path.to_owned(), data: Some(text.as_bytes().into()), version: -1 }
}

#[test]
fn layout_is_made_once_and_found_by_the_next() {
    let mut bench = bench(&[A, B]);
    assert_eq!(bench.fake.children("/app").len(), 4);
    assert_eq!((bench.core(A).ready, bench.core(B).ready), (1, 1));
}

#[test]
fn layouts_that_race_are_both_ready() {
    let mut bench = Bench::new();
    bench.start(A, actor(1));
    bench.start(B, actor(2));
    bench.run(seconds(1));
    assert_eq!((bench.core(A).ready, bench.core(B).ready), (1, 1));
}

#[test]
fn registration_belongs_to_the_session() {
    let mut bench = bench(&[A]);
    let owner = bench.fake.stat("/app/members/1").unwrap().ephemeral_owner;
    assert_eq!(Some(owner), bench.core(A).client.session());
    assert_eq!(bench.core(A).registered, [owner]);
}

/// SEARCH-DEFECTS A2, A4: an own name with the same content is not an own registration.
#[test]
fn restart_within_the_session_timeout_waits_for_the_old_registration_to_vanish() {
    let mut bench = bench(&[A, B]);
    let old = bench.core(A).client.session();
    bench.start(A, actor(1));
    bench.run(seconds(2));
    let stat = bench.fake.stat("/app/members/1").unwrap();
    assert_eq!(Some(stat.ephemeral_owner), old, "the old session still lives");
    assert_eq!(bench.core(A).registered, []);
    bench.run(seconds(4));
    let owner = bench.fake.stat("/app/members/1").unwrap().ephemeral_owner;
    assert_eq!(bench.core(A).registered, [owner]);
    assert_ne!(Some(owner), old);
}

/// SEARCH-DEFECTS A10: the current session's own znode is not waited for.
#[test]
fn two_expiries_in_a_row_end_in_one_registration() {
    let mut bench = bench(&[A, B]);
    for _ in 0..2 {
        let session = bench.core(A).client.session().unwrap();
        bench.fake.end(session);
        bench.run(Duration::from_millis(1_500));
    }
    bench.run(seconds(3));
    let owner = bench.fake.stat("/app/members/1").unwrap().ephemeral_owner;
    assert_eq!(Some(owner), bench.core(A).client.session());
    assert_eq!(bench.core(A).registered.last(), Some(&owner));
}

#[test]
fn registration_that_somebody_removed_is_made_again() {
    let mut bench = bench(&[A]);
    bench.fake.edit(&Op::Delete { path: "/app/members/1".to_owned(), version: -1 });
    bench.run(seconds(3));
    assert!(bench.fake.stat("/app/members/1").is_some());
    assert_eq!(bench.core(A).registered.len(), 2);
}

#[test]
fn first_ticket_leads_and_each_death_passes_the_lead_on() {
    let mut bench = bench(&[A, B, C]);
    assert_eq!(leader(&mut bench, &[A, B, C]), [A]);
    bench.kill(A);
    bench.run(seconds(6));
    assert_eq!(leader(&mut bench, &[B, C]), [B]);
    bench.kill(B);
    bench.run(seconds(6));
    assert_eq!(leader(&mut bench, &[C]), [C]);
}

/// "others watch only the predecessor (no herd)"
#[test]
fn death_in_the_queue_wakes_only_the_successor() {
    let mut bench = bench(&[A, B, C]);
    let before = bench.events.len();
    bench.kill(A);
    bench.run(seconds(6));
    let tickets = |host| {
        let is_ticket = |event: &crate::event::EventKind| matches!(event, crate::event::EventKind::ClientNotified { path, .. } if path.contains("/election/"));
        let events = &bench.events[before..];
        events.iter().filter(|(_, at, event)| *at == host && is_ticket(event)).count()
    };
    assert_eq!((tickets(B), tickets(C)), (1, 0));
}

#[test]
fn leader_whose_session_ends_has_lost_and_goes_to_the_end() {
    let mut bench = bench(&[A, B]);
    let session = bench.core(A).client.session().unwrap();
    bench.fake.end(session);
    bench.run(seconds(3));
    assert_eq!(bench.core(A).standing, [Standing::Leading, Standing::Lost]);
    assert_eq!(leader(&mut bench, &[A, B]), [B]);
    assert_eq!(bench.fake.children("/app/election").len(), 2);
}

/// SEARCH-DEFECTS A3: the leader notices that its own ticket is gone.
#[test]
fn leader_whose_ticket_is_removed_has_lost() {
    let mut bench = bench(&[A, B]);
    let mut tickets = bench.fake.children("/app/election");
    tickets.sort_by_key(|name| name.rsplit_once('_').unwrap().1.to_owned());
    bench.fake.edit(&Op::Delete { path: format!("/app/election/{}", tickets[0]), version: -1 });
    bench.run(seconds(3));
    assert_eq!(bench.core(A).standing, [Standing::Leading, Standing::Lost]);
    assert_eq!(leader(&mut bench, &[A, B]), [B]);
}

#[test]
fn withdrawn_ticket_goes_to_the_end() {
    let mut bench = bench(&[A, B]);
    let actor = bench.core(A);
    actor.candidacy.withdraw(&mut actor.client);
    bench.step(A, Input::Wake);
    bench.run(seconds(3));
    assert_eq!(leader(&mut bench, &[B]), [B]);
    assert_eq!(bench.fake.children("/app/election").len(), 2);
}

/// "duplicates of own session are deleted at the next check"
#[test]
fn second_ticket_of_a_session_is_given_back() {
    let mut bench = bench(&[A, B]);
    let session = bench.core(B).client.session().unwrap();
    let path = format!("/app/election/{:016x}-n_", session.0);
    bench.fake.edit(&Op::create(path, None, CreateMode::PersistentSequential));
    bench.kill(A);
    bench.run(seconds(6));
    assert_eq!(leader(&mut bench, &[B]), [B]);
    let tickets = bench.fake.children("/app/election");
    assert_eq!(tickets.len(), 1);
    assert!(tickets[0].ends_with('1'), "the first one is kept: {tickets:?}");
}

#[test]
fn each_leader_draws_a_greater_epoch() {
    let mut bench = bench(&[A, B]);
    bench.kill(A);
    bench.run(seconds(6));
    bench.start(A, actor(1));
    bench.run(seconds(6));
    bench.kill(B);
    bench.run(seconds(6));
    assert_eq!(bench.core(A).drawn, [Epoch(3)]);
}

#[test]
fn counter_that_was_changed_meanwhile_is_read_again() {
    let mut bench = bench(&[A]);
    bench.fake.edit(&set("/app/counter", "41"));
    let actor = bench.core(A);
    actor.counter.begin(&mut actor.client);
    bench.step(A, Input::Wake);
    // The read is on its way; the write that follows it will meet another version.
    bench.run(Duration::from_millis(2));
    bench.fake.edit(&set("/app/counter", "50"));
    bench.run(seconds(1));
    assert_eq!(bench.core(A).drawn, [Epoch(1), Epoch(51)]);
}

#[test]
fn follower_ends_up_with_the_newest_value() {
    let mut bench = bench(&[A]);
    for value in ["one", "two", "three"] {
        bench.fake.edit(&set("/app/value", value));
    }
    bench.run(seconds(3));
    let Some(Seen::Data(data, _)) = bench.core(A).seen.last() else { panic!("a value was seen") };
    assert_eq!(data.as_deref(), Some(b"three".as_slice()));
}

#[test]
fn followed_znode_may_vanish_and_return() {
    let mut bench = bench(&[A]);
    bench.fake.edit(&Op::Delete { path: "/app/value".to_owned(), version: -1 });
    bench.run(seconds(3));
    assert_eq!(bench.core(A).seen.last(), Some(&Seen::Missing));
    let mode = CreateMode::Persistent;
    bench.fake.edit(&Op::create("/app/value", None, mode));
    bench.run(seconds(3));
    assert!(matches!(bench.core(A).seen.last(), Some(Seen::Data(None, _))));
}

#[test]
fn change_while_disconnected_is_seen_after_the_reconnect() {
    let mut bench = bench(&[A]);
    bench.break_zookeeper(A);
    bench.fake.edit(&set("/app/value", "missed"));
    bench.run(seconds(3));
    let Some(Seen::Data(data, _)) = bench.core(A).seen.last() else { panic!("a value was seen") };
    assert_eq!(data.as_deref(), Some(b"missed".as_slice()));
}

#[test]
fn members_are_seen_as_they_come_and_go() {
    let mut bench = bench(&[A, B]);
    bench.kill(B);
    bench.run(seconds(6));
    let names = |names: &[&str]| Seen::Children(names.iter().map(|name| (*name).to_owned()).collect());
    let seen = &bench.core(A).names;
    assert!(seen.contains(&names(&["1", "2"])));
    assert_eq!(seen.last(), Some(&names(&["1"])));
}

/// SEARCH-DEFECTS A7, A11, A22: whichever frame is lost with its connection, in the end there is one
/// registration and one ticket a session, one leader, and the newest value is seen.
#[test]
fn connection_lost_at_any_frame_is_made_up_for() {
    for frame in 1..80 {
        let mut bench = Bench::new();
        bench.lose_frame = Some(frame);
        bench.start(A, actor(1));
        bench.run(seconds(1));
        bench.start(B, actor(2));
        bench.run(seconds(3));
        bench.fake.edit(&set("/app/value", "last"));
        bench.run(seconds(5));
        assert_eq!(leader(&mut bench, &[A, B]).len(), 1, "frame {frame}");
        assert_eq!(bench.fake.children("/app/election").len(), 2, "frame {frame}");
        for host in [A, B] {
            let actor = bench.core(host);
            assert_eq!(actor.registered.len(), 1, "frame {frame}");
            let Some(Seen::Data(data, _)) = actor.seen.last() else { panic!("frame {frame}") };
            assert_eq!(data.as_deref(), Some(b"last".as_slice()), "frame {frame}");
        }
        assert!(bench.frames > 80, "every frame of the loop is lost once");
    }
}

#[test]
fn tickets_are_ordered_by_number_not_by_session() {
    assert_eq!(candidacy::sequence("00000000000000ff-n_0000000012"), Some(12));
    assert_eq!(candidacy::sequence("lost+found"), None);
}

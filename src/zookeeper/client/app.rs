//! Applications — decides how a whole process is made of a client and what uses it: when the session begins
//! anew, and who gets the news. It never decides what to ask.
//!
//! An [`App`] is told when there is a new session, and of everything that its client learns; it asks through a
//! [`Desk`]. [`Process`] makes a [`Core`] of it, which can be put on a simulated host, on a bench in a test, or
//! behind a real socket.
//!
//! # Examples
//!
//! A process that keeps an ephemeral node in place for as long as it has a session:
//!
//! ```
//! use std::time::Duration;
//!
//! use shardarium::{
//!     core::{Core, Effect, Entropy, Input, Instant, Now, Output},
//!     name::{HostId, SessionId},
//!     zookeeper::{
//!         client::{
//!             ClientConfig, ClientNews,
//!             app::{App, Desk, Process},
//!         },
//!         peer::Message,
//!         wire::{ClientFrame, CreateMode, Op, ServerFrame},
//!     },
//! };
//!
//! struct Lamp;
//!
//! impl App for Lamp {
//!     fn begin(&mut self, desk: &mut Desk<'_>) {
//!         desk.client.ask(Op::create("/lamp", None, CreateMode::Ephemeral));
//!     }
//!
//!     fn news(&mut self, _: &mut Desk<'_>, _: &ClientNews) {}
//! }
//!
//! let config = ClientConfig::new(vec![HostId::zookeeper(1)], Duration::from_secs(4));
//! let mut process = Process::new(Lamp, config, Entropy::new(7), Instant(0));
//! let mut out = Output::default();
//! let now = Now { mono: Instant(0), wall_ms: 0 };
//!
//! // It dials, then asks for a session.
//! process.step(now, Input::Start, &mut out);
//! let dialed = out.drain().find_map(|effect| match effect {
//!     Effect::Dial { conn, .. } => Some(conn),
//!     _ => None,
//! });
//! let conn = dialed.unwrap();
//! process.step(now, Input::Connected { conn }, &mut out);
//! out.drain().for_each(drop);
//!
//! // The server grants one, and the node is asked for.
//! let granted =
//!     ServerFrame::Connected { timeout_ms: 4_000, session: SessionId(5), password: 7, read_only: false };
//! process.step(now, Input::Received { conn, message: Message::ToClient(granted) }, &mut out);
//! let asked = out.drain().any(|effect| {
//!     matches!(effect, Effect::Send { message: Message::ToServer(ClientFrame::Request { op, .. }), .. }
//!         if op.path() == "/lamp")
//! });
//! assert!(asked);
//! ```

use super::{Client, ClientConfig, ClientNews, ClientState};
use crate::{
    core::{Core, Entropy, Input, Instant, Now, Output},
    event::EventKind,
    name::SessionId,
    zookeeper::peer::Message,
};

/// What an application has at hand while it is told something.
#[derive(Debug)]
pub struct Desk<'a> {
    /// The time, on the host's own clock.
    pub now: Instant,
    /// The client; what is asked of it leaves when the application has been told.
    pub client: &'a mut Client,
    /// What the application wants recorded, in order.
    pub notes: &'a mut Vec<EventKind>,
}

impl Desk<'_> {
    /// Records an event.
    pub fn note(&mut self, event: EventKind) {
        self.notes.push(event);
    }
}

/// What uses a client.
pub trait App {
    /// There is a session that was not there before; nothing of a former one counts any longer. Comes before
    /// the news of the connection.
    fn begin(&mut self, desk: &mut Desk<'_>);

    /// Something that the client has learned.
    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews);

    /// The time that [`App::next_wake`] asked for has come, or something else has happened: does what is due.
    fn act(&mut self, _: &mut Desk<'_>) {}

    /// The run is over and quiet.
    fn inspect(&mut self, _: &mut Desk<'_>) {}

    /// When it wants to act next, on the host's own clock.
    fn next_wake(&self) -> Option<Instant> {
        None
    }
}

impl<A: App + ?Sized> App for Box<A> {
    fn begin(&mut self, desk: &mut Desk<'_>) {
        (**self).begin(desk);
    }

    fn news(&mut self, desk: &mut Desk<'_>, news: &ClientNews) {
        (**self).news(desk, news);
    }

    fn act(&mut self, desk: &mut Desk<'_>) {
        (**self).act(desk);
    }

    fn inspect(&mut self, desk: &mut Desk<'_>) {
        (**self).inspect(desk);
    }

    fn next_wake(&self) -> Option<Instant> {
        (**self).next_wake()
    }
}

/// A process that is one client of ZooKeeper and what uses it. A session that ends is followed by another at
/// once.
#[derive(Debug)]
pub struct Process<A> {
    app: A,
    client: Client,
    session: Option<SessionId>,
    starts_at: Instant,
    notes: Vec<EventKind>,
}

impl<A: App> Process<A> {
    /// A process that dials for the first time at `starts_at`, on its own clock.
    ///
    /// # Panics
    ///
    /// If there are no servers, or the chroot is not a path.
    pub fn new(app: A, config: ClientConfig, entropy: Entropy, starts_at: Instant) -> Self {
        let client = Client::new(config, entropy);
        Self { app, client, session: None, starts_at, notes: Vec::new() }
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// Its client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn tell(&mut self, now: Instant, what: impl FnOnce(&mut A, &mut Desk<'_>)) {
        let mut desk = Desk { now, client: &mut self.client, notes: &mut self.notes };
        what(&mut self.app, &mut desk);
    }

    fn digest(&mut self, now: Instant, news: &ClientNews) {
        let is_up =
            matches!(news, ClientNews::State(ClientState::Connected | ClientState::ConnectedReadOnly));
        if is_up && self.session != self.client.session() {
            self.session = self.client.session();
            self.tell(now, |app, desk| app.begin(desk));
        }
        self.tell(now, |app, desk| app.news(desk, news));
    }

    /// Tells the news, and what became of what was asked because of them, until there are no more.
    fn settle(&mut self, now: Instant, out: &mut Output<Message>) {
        loop {
            let news = self.client.take_news();
            news.iter().for_each(|news| self.digest(now, news));
            self.tell(now, App::act);
            self.client.flush(now, out);
            self.notes.drain(..).for_each(|event| out.note(event));
            if news.is_empty() {
                return;
            }
        }
    }
}

impl<A: App> Core for Process<A> {
    type Message = Message;

    fn step(&mut self, now: Now, input: Input<Message>, out: &mut Output<Message>) {
        let now = now.mono;
        match input {
            Input::Wake => self.client.wake(now, out),
            Input::Connected { conn } => self.client.connected(now, conn, out),
            Input::Received { conn, message: Message::ToClient(frame) } => {
                self.client.received(now, conn, frame, out);
            }
            Input::Closed { conn, .. } => self.client.closed(now, conn, out),
            Input::Inspect => self.tell(now, App::inspect),
            Input::Start
            | Input::Accepted { .. }
            | Input::Received { .. }
            | Input::Synced { .. }
            | Input::DiskFailed { .. }
            | Input::DiskMeasured { .. }
            | Input::Reread { .. } => {}
        }
        if now >= self.starts_at {
            self.client.start(now, out);
        }
        self.settle(now, out);
        if now >= self.starts_at && self.client.state().is_over() {
            self.session = None;
            self.client.start(now, out);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let start = self.client.state().is_over().then_some(self.starts_at);
        [start, self.app.next_wake(), self.client.next_wake()].into_iter().flatten().min()
    }
}

//! Processes — decides how the cores of different machines are driven as one kind. It never decides when.

use shardarium::{
    core::{Core, Deferred, Effect, Entropy, Files, Input, Instant, Now, Output},
    search::{self, node::Node},
    zookeeper::{peer, server::Server},
};

/// What travels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Letter {
    /// On a connection of a search node.
    Search(search::wire::Message),
    /// On a connection between ZooKeeper servers, or of a client as they see it.
    ZooKeeper(peer::Message),
}

impl Letter {
    fn for_search(self) -> search::wire::Message {
        match self {
            Self::Search(message) => message,
            Self::ZooKeeper(peer::Message::ToClient(frame)) => search::wire::Message::FromZooKeeper(frame),
            Self::ZooKeeper(other) => panic!("servers do not say {other:?} to search nodes"),
        }
    }

    fn for_zookeeper(self) -> peer::Message {
        match self {
            Self::ZooKeeper(message) => message,
            Self::Search(search::wire::Message::ToZooKeeper(frame)) => peer::Message::ToServer(frame),
            Self::Search(other) => panic!("search nodes do not say {other:?} to servers"),
        }
    }
}

/// How a host's process comes up on what its disk holds.
pub(crate) type Boot = Box<dyn Fn(Entropy, &Files, Now) -> Process>;

/// A running core.
pub(crate) enum Process {
    Search(Box<Node>),
    ZooKeeper(Box<Server>),
}

impl Process {
    pub(crate) fn search(node: Node) -> Self {
        Self::Search(Box::new(node))
    }

    pub(crate) fn zookeeper(server: Server) -> Self {
        Self::ZooKeeper(Box::new(server))
    }

    pub(super) fn step(&mut self, now: Now, input: Input<Letter>, next_conn: u64) -> Vec<Effect<Letter>> {
        match self {
            Self::Search(node) => {
                advance(node.as_mut(), now, input, next_conn, Letter::for_search, Letter::Search)
            }
            Self::ZooKeeper(server) => {
                advance(server.as_mut(), now, input, next_conn, Letter::for_zookeeper, Letter::ZooKeeper)
            }
        }
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self {
            Self::Search(node) => node.next_wake(),
            Self::ZooKeeper(server) => server.next_wake(),
        }
    }
}

fn advance<C: Core>(
    core: &mut C,
    now: Now,
    input: Input<Letter>,
    next_conn: u64,
    open: impl Fn(Letter) -> C::Message,
    seal: impl Fn(C::Message) -> Letter,
) -> Vec<Effect<Letter>> {
    let mut out = Output::new(next_conn);
    core.step(now, map_input(input, open), &mut out);
    out.drain().map(|effect| map_effect(effect, &seal)).collect()
}

fn map_input<A, B>(input: Input<A>, map: impl Fn(A) -> B) -> Input<B> {
    match input {
        Input::Start => Input::Start,
        Input::Wake => Input::Wake,
        Input::Connected { conn } => Input::Connected { conn },
        Input::Accepted { conn, from, port } => Input::Accepted { conn, from, port },
        Input::Received { conn, message } => Input::Received { conn, message: map(message) },
        Input::Closed { conn, reason } => Input::Closed { conn, reason },
        Input::Synced { token } => Input::Synced { token },
        Input::DiskMeasured { total, free, files } => Input::DiskMeasured { total, free, files },
        Input::DiskFailed { file, error, found } => Input::DiskFailed { file, error, found },
        Input::Reread { file, bytes } => Input::Reread { file, bytes },
        Input::Inspect => Input::Inspect,
    }
}

fn map_effect<A, B>(effect: Effect<A>, map: impl Fn(A) -> B) -> Effect<B> {
    match effect {
        Effect::Note(event) => Effect::Note(event),
        Effect::Dial { conn, to } => Effect::Dial { conn, to },
        Effect::Send { conn, message } => Effect::Send { conn, message: map(message) },
        Effect::Close { conn } => Effect::Close { conn },
        Effect::Disk(op) => Effect::Disk(op),
        Effect::AfterSync { file, then } => {
            let then = match then {
                Deferred::Send { conn, message } => Deferred::Send { conn, message: map(message) },
                Deferred::Tell { token } => Deferred::Tell { token },
                Deferred::Note(event) => Deferred::Note(event),
            };
            Effect::AfterSync { file, then }
        }
        Effect::MeasureDisk => Effect::MeasureDisk,
        Effect::Halt { why } => Effect::Halt { why },
    }
}

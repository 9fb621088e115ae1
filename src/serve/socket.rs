//! Sockets — decides what goes in and out of one client's connection, and how much of it may wait. It never
//! decides what a server answers.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use mio::net::TcpStream;
use socket2::SockRef;

use super::words::{Peer, SESSIONLESS_MAX};
use crate::{
    core::{ConnId, Instant},
    zookeeper::{
        jute::{LENGTH_BYTES, ServerCodec, Violation},
        wire::{ClientFrame, EnsembleConfig, ServerFrame},
    },
};

/// Requests that may be unanswered before no more are read (`globalOutstandingLimit`).
const OUTSTANDING_MAX: usize = 1_000;
/// Bytes that may wait to be sent before no more requests are read.
const UNSENT_MAX: usize = 4 * 1024 * 1024;
/// Bytes read at a time.
const READ_MAX: usize = 64 * 1024;

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its first four bytes have not come: they may be a word.
    Fresh,
    /// It is the server's.
    Client,
    /// Nothing is read any more; what waits is sent, then it is closed.
    Closing,
}

/// What came of a look at a socket.
#[derive(Debug)]
pub(super) enum Seen {
    /// The first four bytes, which may be a word.
    Head([u8; LENGTH_BYTES]),
    /// A frame.
    Frame(ClientFrame),
    /// Nothing more for now.
    Nothing,
    /// The client has gone, or must go.
    End,
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) member: usize,
    pub(super) conn: ConnId,
    pub(super) peer: SocketAddr,
    pub(super) stage: Stage,
    /// When it was accepted; from its close on, when that was.
    since: Instant,
    /// Whether it has a session or had one.
    has_greeted: bool,
    codec: ServerCodec,
    head: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    is_readable: bool,
    has_ended: bool,
}

impl Socket {
    pub(super) fn new(
        (stream, peer): (TcpStream, SocketAddr),
        (member, conn): (usize, ConnId),
        config: &EnsembleConfig,
        since: Instant,
    ) -> Self {
        Self {
            stream,
            member,
            conn,
            peer,
            stage: Stage::Fresh,
            since,
            has_greeted: false,
            codec: ServerCodec::new(config),
            head: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            is_readable: false,
            has_ended: false,
        }
    }

    /// There may be something to read.
    pub(super) fn readable(&mut self) {
        self.is_readable = true;
    }

    /// The next thing that the client says. Call it until it says nothing.
    pub(super) fn next(&mut self, scratch: &mut Room) -> Seen {
        loop {
            match self.decoded() {
                Ok(Some(seen)) => return seen,
                Err(_) => return Seen::End,
                Ok(None) if self.has_ended => return Seen::End,
                Ok(None) if !self.may_read() => return Seen::Nothing,
                Ok(None) => self.read(scratch),
            }
        }
    }

    fn may_read(&self) -> bool {
        self.is_readable && self.stage != Stage::Closing && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.codec.outstanding() >= OUTSTANDING_MAX || self.unsent.len() - self.sent > UNSENT_MAX
    }

    fn decoded(&mut self) -> Result<Option<Seen>, Violation> {
        match self.stage {
            Stage::Closing => Ok(None),
            Stage::Fresh => {
                let head = self.head.first_chunk::<LENGTH_BYTES>();
                Ok(head.map(|head| Seen::Head(*head)))
            }
            Stage::Client if self.is_full() => Ok(None),
            Stage::Client => Ok(self.codec.next_frame()?.map(Seen::Frame)),
        }
    }

    /// What was read of a fresh connection is no word: the server's codec takes over.
    pub(super) fn introduce(&mut self) {
        self.stage = Stage::Client;
        self.codec.feed(&std::mem::take(&mut self.head));
    }

    fn read(&mut self, scratch: &mut Room) {
        let read = match self.stage {
            // No more than may be a word: who sends one may send nonsense behind it.
            Stage::Fresh => self.stream.read(&mut scratch[..LENGTH_BYTES - self.head.len()]),
            _ => self.stream.read(scratch),
        };
        match read {
            Ok(0) => self.has_ended = true,
            Ok(count) if self.stage == Stage::Fresh => self.head.extend_from_slice(&scratch[..count]),
            Ok(count) => self.codec.feed(&scratch[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.has_ended = true,
        }
    }

    /// Takes in what the server says.
    pub(super) fn say(&mut self, frame: &ServerFrame) {
        if self.stage == Stage::Client {
            self.has_greeted |= matches!(frame, ServerFrame::Connected { .. });
            self.codec.encode(frame, &mut self.unsent);
        }
    }

    /// Takes in the answer to a word; the connection ends with it.
    pub(super) fn answer(&mut self, text: &str) {
        self.unsent.extend_from_slice(text.as_bytes());
        self.stage = Stage::Closing;
    }

    /// Nothing more is read; the connection ends with what waits.
    pub(super) fn close(&mut self, now: Instant) {
        self.stage = Stage::Closing;
        self.since = now;
    }

    /// The connection will end as that of a process that was killed.
    pub(super) fn reset(&self) {
        // Without it the client sees an end in order: nothing worse.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether it has had its time to begin, or to end.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let must_hurry = !self.has_greeted || self.stage == Stage::Closing;
        must_hurry && now.since(self.since) >= SESSIONLESS_MAX
    }

    /// Whether another look may show something.
    pub(super) fn has_more(&self) -> bool {
        self.stage != Stage::Closing && !self.is_full() && (self.is_readable || self.codec.has_waiting())
    }

    /// As words list it.
    pub(super) fn peer(&self) -> Peer {
        Peer { conn: self.conn, address: self.peer, is_read: self.stage == Stage::Client }
    }

    /// Sends what can be sent; whether the connection is over.
    pub(super) fn flush(&mut self) -> bool {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(0) => return true,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
        self.unsent.clear();
        self.unsent.shrink_to(UNSENT_MAX);
        self.sent = 0;
        self.stage == Stage::Closing
    }
}

/// Room to read into.
pub(super) type Room = [u8; READ_MAX];

/// Makes room to read into.
pub(super) fn scratch() -> Box<Room> {
    vec![0; READ_MAX].into_boxed_slice().try_into().expect("so many bytes")
}

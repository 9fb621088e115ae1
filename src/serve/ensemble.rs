//! Ensemble — decides in which order sockets, servers, links, disks and orders get their turn. It never
//! decides what any of them does.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::mpsc,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, Waker, net::TcpListener};

use super::{
    clock::Clock,
    control::{self, Call, Caller},
    disk::{Disk, Folder},
    links::{Hosts, Links, Reach},
    member::{Life, Member},
    settings::Settings,
    socket::{Room, Seen, Socket, scratch},
    words::{self, Peer, View},
};
use crate::{
    core::{CloseReason, ConnId, Deferred, Effect, Input, Instant, Port},
    name::HostId,
    zookeeper::peer::Message,
};

const WAKER: Token = Token(0);
/// Listeners have the tokens before this one, from 1.
const SOCKETS: usize = 1_000;
/// How often silent and closing connections are looked after.
const SCAN: Duration = Duration::from_secs(1);

/// Why an ensemble could not be served, or not any longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// What was asked for cannot be.
    #[error("{0}")]
    Unusable(String),
    /// No server is left.
    #[error("{0}")]
    Ended(String),
}

/// Serves an ensemble until it is told to end. `says` hears what a person should know.
///
/// # Errors
///
/// If an address or a folder cannot be used, or no server is left.
pub fn serve(settings: Settings, says: &mut dyn FnMut(&str)) -> Result<(), Failed> {
    let cannot = |error: io::Error| Failed::Unusable(format!("error: {error}"));
    // As the JVM does for itself; without it, as many clients as the soft limit allows are served.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let poll = Poll::new().map_err(cannot)?;
    let (calls, called) = mpsc::channel();
    let caller = Caller::new(calls, Waker::new(poll.registry(), WAKER).map_err(cannot)?);
    let _lock = settings.data.as_ref().map(|path| lock(path)).transpose()?;
    let mut ensemble = Ensemble::new(settings, poll, called)?;
    // Whoever reads that servers serve can give orders.
    listen(&ensemble.settings, caller)?;
    ensemble.start(says)?;
    ensemble.run(says)
}

/// Keeps other processes away from the folder.
fn lock(path: &std::path::Path) -> Result<std::fs::File, Failed> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failed::Unusable(format!("error: cannot keep files in {}: {error}", path.display()))
    };
    std::fs::create_dir_all(path).map_err(|error| cannot(&error))?;
    let file = std::fs::File::create(path.join("lock")).map_err(|error| cannot(&error))?;
    file.try_lock().map_err(|_| cannot(&"another process does"))?;
    Ok(file)
}

/// Takes orders and the end from outside.
fn listen(settings: &Settings, caller: Caller) -> Result<(), Failed> {
    if let Some(address) = &settings.control {
        control::listen(address, caller.clone())
            .map_err(|error| Failed::Unusable(format!("error: cannot take orders at {address}: {error}")))?;
    }
    control::listen_to_stdin(caller.clone());
    ctrlc::set_handler(move || {
        caller.call(Call::End);
    })
    .map_err(|error| Failed::Unusable(format!("error: cannot wait for ctrl-c: {error}")))
}

/// The servers of this process.
#[derive(Debug)]
pub(super) struct Members(pub(super) Vec<Member>);

impl Members {
    pub(super) fn index(&self, host: HostId) -> Option<usize> {
        self.0.iter().position(|member| member.host == host)
    }
}

impl Hosts<Message> for Members {
    fn reach(&self, host: HostId) -> Reach {
        self.index(host).map_or(Reach::Down, |at| self.0[at].reach())
    }

    fn accept(&mut self, host: HostId) -> ConnId {
        let at = self.index(host).expect("only a server that is up accepts");
        self.0[at].accept()
    }

    fn give(&mut self, host: HostId, input: Input<Message>) {
        if let Some(at) = self.index(host) {
            self.0[at].give(input);
        }
    }
}

/// An ensemble and its clients.
pub(super) struct Ensemble {
    pub(super) settings: Settings,
    pub(super) members: Members,
    pub(super) links: Links<Message>,
    poll: Poll,
    called: mpsc::Receiver<Call>,
    clock: Clock,
    sockets: BTreeMap<usize, Socket>,
    next_socket: usize,
    /// Sockets that may have something to say.
    ready: BTreeSet<usize>,
    /// Sockets that something is to be sent on.
    unsent: BTreeSet<usize>,
    scan_at: Instant,
    news: Vec<String>,
}

impl Ensemble {
    fn new(settings: Settings, poll: Poll, called: mpsc::Receiver<Call>) -> Result<Self, Failed> {
        let config = &settings.ensemble;
        let hosts = config.servers.iter().chain(&config.observers);
        let members = (0..).zip(hosts).map(|(nth, host)| member(&settings, nth, *host));
        let members = Members(members.collect::<Result<_, _>>()?);
        Ok(Self {
            members,
            links: Links::new(),
            poll,
            called,
            clock: Clock::start(),
            sockets: BTreeMap::new(),
            next_socket: SOCKETS,
            ready: BTreeSet::new(),
            unsent: BTreeSet::new(),
            scan_at: Instant::default(),
            news: Vec::new(),
            settings,
        })
    }

    fn start(&mut self, says: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        for at in 0..self.members.0.len() {
            self.boot(at).map_err(Failed::Unusable)?;
            let Member { host, address, .. } = &self.members.0[at];
            says(&format!("{host} serves ZooKeeper's clients on {address}\n"));
        }
        self.work();
        self.tell(says)
    }

    /// Opens a server's client port and boots it.
    pub(super) fn boot(&mut self, at: usize) -> Result<(), String> {
        let now = self.clock.now();
        let config = &self.settings.ensemble;
        let member = &mut self.members.0[at];
        let address = member.address;
        let cannot = |error: io::Error| format!("error: cannot listen on {address}: {error}");
        let mut listener = TcpListener::bind(address).map_err(cannot)?;
        member.address = listener.local_addr().map_err(cannot)?;
        let registry = self.poll.registry();
        registry.register(&mut listener, Token(at + 1), Interest::READABLE).map_err(cannot)?;
        member.listener = Some(listener);
        member
            .boot(config, now)
            .map_err(|error| format!("error: cannot read {}'s files: {error}", member.host))
    }

    fn run(&mut self, says: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        let mut events = Events::with_capacity(1_024);
        let mut room = scratch();
        loop {
            match self.poll.poll(&mut events, Some(self.patience())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Failed::Ended(format!("error: cannot wait for clients: {error}")));
                }
                _ => {}
            }
            for event in &events {
                self.notice(event.token());
            }
            if !self.answer_calls() {
                self.flush();
                return Ok(());
            }
            self.scan();
            self.listen_to_clients(&mut room);
            self.work();
            self.flush();
            self.tell(says)?;
        }
    }

    /// Says what there is to say; fails when no server is left that failed by itself.
    fn tell(&mut self, says: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        let news = std::mem::take(&mut self.news);
        let is_over = self.members.0.iter().all(|member| matches!(member.life, Life::Down(_)));
        match news.last() {
            Some(last) if is_over => Err(Failed::Ended(format!("error: no server is left: {last}"))),
            _ => {
                news.iter().for_each(|line| says(&format!("{line}\n")));
                Ok(())
            }
        }
    }

    /// How long nothing needs to be done unless something comes.
    fn patience(&self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let now = self.clock.now().mono;
        let wakes = self.members.0.iter().filter_map(Member::next_wake).chain([self.scan_at]);
        // Rounded up: epoll counts in milliseconds, and would otherwise be asked again and again.
        let wait = wakes.min().map_or(SCAN, |at| at.since(now));
        if wait.is_zero() { wait } else { wait + Duration::from_micros(500) }
    }

    fn notice(&mut self, token: Token) {
        match token.0 {
            0 => {}
            listener if listener < SOCKETS => self.accept(listener - 1),
            socket => {
                if let Some(found) = self.sockets.get_mut(&socket) {
                    found.readable();
                    self.ready.insert(socket);
                    self.unsent.insert(socket);
                }
            }
        }
    }

    /// False if the end was asked for.
    fn answer_calls(&mut self) -> bool {
        while let Ok(call) = self.called.try_recv() {
            match call {
                Call::End => return false,
                Call::Line(line, answer) => drop(answer.send(self.obey(&line))),
            }
        }
        true
    }

    // ---- clients ----

    /// Takes in whoever waits at a server's client port.
    pub(super) fn accept(&mut self, at: usize) {
        let since = self.clock.now().mono;
        let member = &mut self.members.0[at];
        if !matches!(member.life, Life::Running(_)) {
            return;
        }
        while let Some(Ok((stream, peer))) = member.listener.as_ref().map(TcpListener::accept) {
            let limit = self.settings.ensemble.max_client_connections as usize;
            let is_of_same = |socket: &&Socket| socket.member == at && socket.peer.ip() == peer.ip();
            if limit > 0 && self.sockets.values().filter(is_of_same).count() >= limit {
                continue;
            }
            let _ = stream.set_nodelay(true);
            let conn = member.accept();
            let mut socket = Socket::new((stream, peer), (at, conn), &self.settings.ensemble, since);
            let (token, interest) = (self.next_socket, Interest::READABLE | Interest::WRITABLE);
            if self.poll.registry().register(&mut socket.stream, Token(token), interest).is_ok() {
                self.next_socket += 1;
                socket.readable();
                self.sockets.insert(token, socket);
                self.ready.insert(token);
            }
        }
    }

    fn listen_to_clients(&mut self, room: &mut Room) {
        for token in std::mem::take(&mut self.ready) {
            let Some(socket) = self.sockets.get_mut(&token) else { continue };
            if self.members.0[socket.member].running().is_none() {
                continue;
            }
            self.listen_to(token, room);
        }
    }

    fn listen_to(&mut self, token: usize, room: &mut Room) {
        while let Some(socket) = self.sockets.get_mut(&token) {
            match socket.next(room) {
                Seen::Nothing => return,
                Seen::End => return self.forget(token),
                Seen::Head(head) => self.meet(token, head),
                Seen::Frame(frame) => {
                    let (at, conn) = (socket.member, socket.conn);
                    let message = Message::ToServer(frame);
                    self.members.0[at].give(Input::Received { conn, message });
                }
            }
        }
    }

    /// A connection has said its first four bytes: a word, or the length of a frame.
    fn meet(&mut self, token: usize, head: [u8; 4]) {
        let socket = self.sockets.get(&token).expect("it has just spoken");
        let (at, conn, peer) = (socket.member, socket.conn, socket.peer);
        let said = words::word(head).map(|word| self.answer_word(at, word));
        let socket = self.sockets.get_mut(&token).expect("it has just spoken");
        let Some(answer) = said else {
            socket.introduce();
            let member = &mut self.members.0[at];
            member.sockets.insert(conn, token);
            let server = member.running().expect("only clients of a running server are heard");
            server.comes_from(conn, peer.ip().to_string());
            return member.give(Input::Accepted { conn, from: HostId::client(1), port: Port::ZkClient });
        };
        socket.answer(&answer);
        self.unsent.insert(token);
    }

    fn answer_word(&mut self, at: usize, word: &str) -> String {
        let config = &self.settings.ensemble;
        if !self.settings.words.allows(word, config.read_only) {
            return format!("{word} is not executed because it is not in the whitelist.\n");
        }
        let sockets = self.sockets.values().filter(|socket| socket.member == at);
        let peers: Vec<Peer> = sockets.map(Socket::peer).collect();
        let (now, member) = (self.clock.now(), &mut self.members.0[at]);
        let (address, data_size) = (member.address, member.disk.size());
        let data = member.disk.path().map(std::path::Path::to_owned);
        let server = member.running().expect("only clients of a running server are heard");
        match word {
            "srst" => server.reset_traffic(),
            "crst" => server.reset_connections(),
            _ => {}
        }
        let status = server.status();
        let (data, peers) = (data.as_deref(), &peers[..]);
        words::answer(word, &View { config, status: &status, now, address, data, data_size, peers })
    }

    /// A client has gone: its server is told.
    fn forget(&mut self, token: usize) {
        let Some(mut socket) = self.sockets.remove(&token) else { return };
        let _ = self.poll.registry().deregister(&mut socket.stream);
        let _ = socket.stream.shutdown(std::net::Shutdown::Both);
        let (member, conn) = (&mut self.members.0[socket.member], socket.conn);
        if member.sockets.remove(&conn).is_some() {
            member.give(Input::Closed { conn, reason: CloseReason::Closed });
        }
    }

    fn flush(&mut self) {
        for token in std::mem::take(&mut self.unsent) {
            let Some(socket) = self.sockets.get_mut(&token) else { continue };
            if socket.flush() {
                self.forget(token);
            } else if socket.has_more() {
                self.ready.insert(token);
            }
        }
    }

    /// Looks after connections that have not begun or do not end.
    fn scan(&mut self) {
        let now = self.clock.now().mono;
        if now < self.scan_at {
            return;
        }
        self.scan_at = now + SCAN;
        (0..self.members.0.len()).for_each(|at| self.accept(at));
        let is_late = |socket: &Socket| {
            socket.is_late(now) && matches!(self.members.0[socket.member].life, Life::Running(_))
        };
        let late: Vec<_> =
            self.sockets.iter().filter(|(_, socket)| is_late(socket)).map(|(token, _)| *token).collect();
        late.into_iter().for_each(|token| self.forget(token));
    }

    // ---- servers ----

    /// Lets every server take what has come for it, until nothing comes any more.
    fn work(&mut self) {
        let now = self.clock.now().mono;
        for member in &mut self.members.0 {
            if member.next_wake().is_some_and(|at| at <= now) {
                member.give(Input::Wake);
            }
        }
        loop {
            let mut is_busy = false;
            for at in 0..self.members.0.len() {
                while let Some(effects) = self.members.0[at].step(self.clock.now()) {
                    is_busy = true;
                    effects.into_iter().for_each(|effect| self.carry_out(at, effect));
                }
            }
            is_busy |= self.links.deliver(&mut self.members);
            for at in 0..self.members.0.len() {
                is_busy |= self.sync(at);
            }
            if !is_busy {
                return;
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect<Message>) {
        let member = &mut self.members.0[at];
        match effect {
            Effect::Note(_) => {}
            Effect::Dial { conn, to } => self.links.dial(member.host, conn, to),
            Effect::Send { conn, message } => self.send(at, conn, message),
            Effect::Close { conn } => self.close(at, conn),
            Effect::Disk(op) => {
                if let Err(error) = member.disk.change(op) {
                    self.fail(at, &format!("its disk: {error}"));
                }
            }
            Effect::AfterSync { file, then } if member.disk.needs_sync() => member.wait(file, then),
            Effect::AfterSync { then, .. } => self.release(at, then),
            // No part of an ensemble asks for it.
            Effect::MeasureDisk => {}
            Effect::Halt { why } => self.fail(at, &why),
        }
    }

    /// Makes safe what a server waits for; whether it waited for anything.
    fn sync(&mut self, at: usize) -> bool {
        match self.members.0[at].sync() {
            Ok(released) => {
                let any = !released.is_empty();
                released.into_iter().for_each(|then| self.release(at, then));
                any
            }
            Err(error) => {
                self.fail(at, &format!("its disk: {error}"));
                true
            }
        }
    }

    fn release(&mut self, at: usize, then: Deferred<Message>) {
        match then {
            Deferred::Send { conn, message } => self.send(at, conn, message),
            Deferred::Tell { token } => self.members.0[at].give(Input::Synced { token }),
            Deferred::Note(_) => {}
        }
    }

    fn send(&mut self, at: usize, conn: ConnId, message: Message) {
        let member = &self.members.0[at];
        let Message::ToClient(frame) = message else { return self.links.send(member.host, conn, message) };
        if let Some(token) = member.sockets.get(&conn)
            && let Some(socket) = self.sockets.get_mut(token)
        {
            socket.say(&frame);
            self.unsent.insert(*token);
        }
    }

    fn close(&mut self, at: usize, conn: ConnId) {
        let now = self.clock.now().mono;
        let member = &mut self.members.0[at];
        let Some(token) = member.sockets.remove(&conn) else { return self.links.close(member.host, conn) };
        if let Some(socket) = self.sockets.get_mut(&token) {
            socket.close(now);
            self.unsent.insert(token);
        }
    }

    /// A server has failed by itself.
    fn fail(&mut self, at: usize, why: &str) {
        let host = self.members.0[at].host;
        self.news.push(format!("{host} has stopped: {why}"));
        self.take_down(at, why, CloseReason::Reset);
    }

    /// A server ends: its clients and the other servers see this.
    pub(super) fn take_down(&mut self, at: usize, why: &str, seen_as: CloseReason) {
        let member = &mut self.members.0[at];
        if let Some(mut listener) = member.listener.take() {
            let _ = self.poll.registry().deregister(&mut listener);
        }
        member.end(why);
        member.sockets.clear();
        self.links.end_all(member.host, seen_as);
        let is_its = |(_, socket): &(&usize, &Socket)| socket.member == at;
        let tokens: Vec<_> = self.sockets.iter().filter(is_its).map(|(token, _)| *token).collect();
        for token in tokens {
            let socket = self.sockets.get_mut(&token).expect("it was there");
            match seen_as {
                CloseReason::Reset => socket.reset(),
                _ => drop(socket.flush()),
            }
            self.forget(token);
        }
    }

    /// A server that was held goes on: what has come meanwhile is heard.
    pub(super) fn resumed(&mut self, at: usize) {
        self.accept(at);
        let its = self.sockets.iter().filter(|(_, socket)| socket.member == at);
        self.ready.extend(its.map(|(token, _)| *token));
    }

    /// How many clients a server has.
    pub(super) fn clients(&self, at: usize) -> usize {
        self.sockets.values().filter(|socket| socket.member == at).count()
    }
}

/// A server that is not started yet.
fn member(settings: &Settings, nth: u16, host: HostId) -> Result<Member, Failed> {
    let port = match settings.address.port() {
        0 => Some(0),
        first => first.checked_add(nth),
    };
    let port =
        port.ok_or_else(|| Failed::Unusable(format!("error: {host} would have no port below 65536")))?;
    let address = SocketAddr::new(settings.address.ip(), port);
    let disk = match &settings.data {
        None => Disk::Memory(BTreeMap::new()),
        Some(path) => {
            let path = path.join(host.to_string());
            let cannot =
                |error| Failed::Unusable(format!("error: cannot keep files in {}: {error}", path.display()));
            Disk::Folder(Folder::open(path.clone()).map_err(cannot)?)
        }
    };
    Ok(Member::new(host, address, disk))
}

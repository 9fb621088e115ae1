//! Members — decides what state a server of this process is in, and what waits for it. It never decides what
//! the server does.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use mio::net::TcpListener;

use super::{disk::Disk, links::Reach};
use crate::{
    core::{ConnId, Core, Deferred, Effect, Entropy, FileName, Input, Instant, Now, Output},
    defect::Defects,
    name::HostId,
    zookeeper::{peer::Message, server::Server, wire::EnsembleConfig},
};

/// Whether a server runs.
#[derive(Debug)]
pub(super) enum Life {
    /// It does.
    Running(Box<Server>),
    /// It is held: nothing reaches it, and it does nothing.
    Paused(Box<Server>),
    /// It does not, because of this.
    Down(String),
}

/// A server of this process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) host: HostId,
    pub(super) life: Life,
    pub(super) disk: Disk,
    pub(super) address: SocketAddr,
    /// Its client port, while it runs.
    pub(super) listener: Option<TcpListener>,
    /// The sockets of its clients.
    pub(super) sockets: BTreeMap<ConnId, usize>,
    inbox: VecDeque<Input<Message>>,
    out: Output<Message>,
    /// What waits for a file, in order.
    waiting: Vec<(FileName, Deferred<Message>)>,
    incarnation: u64,
    accepted: u64,
}

impl Member {
    pub(super) fn new(host: HostId, address: SocketAddr, disk: Disk) -> Self {
        Self {
            host,
            life: Life::Down("not started".into()),
            disk,
            address,
            listener: None,
            sockets: BTreeMap::new(),
            inbox: VecDeque::new(),
            out: Output::default(),
            waiting: Vec::new(),
            incarnation: 0,
            accepted: 0,
        }
    }

    /// Boots the server from its files.
    ///
    /// # Errors
    ///
    /// If they cannot be read at all.
    pub(super) fn boot(&mut self, config: &EnsembleConfig, now: Now) -> std::io::Result<()> {
        let seed = now.mono.0 ^ now.wall_ms as u64 ^ u64::from(self.host.number).rotate_left(32);
        let (config, files) = (config.clone(), self.disk.files()?);
        let server = Server::boot(config, self.host, Defects::default(), Entropy::new(seed), &files, now);
        self.incarnation += 1;
        self.accepted = 0;
        self.out = Output::new(self.incarnation << 32);
        self.inbox = VecDeque::from([Input::Start]);
        self.waiting.clear();
        self.life = Life::Running(Box::new(server));
        Ok(())
    }

    /// The server is no more.
    pub(super) fn end(&mut self, why: impl Into<String>) {
        self.life = Life::Down(why.into());
        self.listener = None;
        self.inbox.clear();
        self.waiting.clear();
    }

    pub(super) fn reach(&self) -> Reach {
        match self.life {
            Life::Running(_) => Reach::Up,
            Life::Paused(_) => Reach::Paused,
            Life::Down(_) => Reach::Down,
        }
    }

    /// A fresh number for a connection that is accepted: odd, where those that are dialled are even.
    pub(super) fn accept(&mut self) -> ConnId {
        self.accepted += 1;
        ConnId((self.incarnation << 32) + 2 * self.accepted - 1)
    }

    pub(super) fn give(&mut self, input: Input<Message>) {
        self.inbox.push_back(input);
    }

    pub(super) fn running(&mut self) -> Option<&mut Server> {
        match &mut self.life {
            Life::Running(server) => Some(server),
            Life::Paused(_) | Life::Down(_) => None,
        }
    }

    /// When it wants to be woken.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match &self.life {
            Life::Running(server) => server.next_wake(),
            Life::Paused(_) | Life::Down(_) => None,
        }
    }

    /// Takes one input; what it wants done. None if there is nothing to do.
    pub(super) fn step(&mut self, now: Now) -> Option<Vec<Effect<Message>>> {
        let Life::Running(server) = &mut self.life else { return None };
        let input = self.inbox.pop_front()?;
        server.step(now, input, &mut self.out);
        Some(self.out.drain().collect())
    }

    /// Holds something back until a file is safe.
    pub(super) fn wait(&mut self, file: FileName, then: Deferred<Message>) {
        self.waiting.push((file, then));
    }

    /// Makes safe what something waits for; what waited.
    ///
    /// # Errors
    ///
    /// If the disk cannot.
    pub(super) fn sync(&mut self) -> std::io::Result<Vec<Deferred<Message>>> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut synced: Option<&FileName> = None;
        for (file, _) in &waiting {
            if synced != Some(file) {
                self.disk.sync(file)?;
                synced = Some(file);
            }
        }
        Ok(waiting.into_iter().map(|(_, then)| then).collect())
    }
}

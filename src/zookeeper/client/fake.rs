//! Fake — decides, for tests of clients, how an ensemble that never fails answers. It never leaves the tests,
//! and is no model of ZooKeeper: one tree, no log, no election.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    core::ConnId,
    name::{Epoch, HostId, SessionId, Zxid},
    zookeeper::wire::{
        ClientFrame, CreateMode, Data, NO_ZXID, Op, Reply, ServerFrame, Stat, WatchChange, WatchEvent,
        ZkError,
    },
};

/// A client's end of a connection.
pub(crate) type Caller = (HostId, ConnId);

#[derive(Debug, Clone, Default)]
struct Znode {
    data: Data,
    stat: Stat,
    created: u32,
}

#[derive(Debug)]
struct Session {
    timeout_ns: u64,
    deadline: u64,
    caller: Option<Caller>,
}

/// An ensemble that never fails.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    tree: BTreeMap<String, Znode>,
    counter: u32,
    sessions: BTreeMap<SessionId, Session>,
    watches: BTreeSet<(bool, String, Caller)>,
    opened: u64,
    /// Writes that clients asked for, in order.
    pub(crate) asked: Vec<Op>,
    /// Reads, syncs and the rest, in the same order with the writes among them.
    pub(crate) heard: Vec<Op>,
    /// Frames to be delivered; none: the connection is closed.
    pub(crate) outbox: Vec<(Caller, Option<ServerFrame>)>,
}

impl Fake {
    pub(crate) fn data(&self, path: &str) -> Option<&Data> {
        self.tree.get(path).map(|znode| &znode.data)
    }

    pub(crate) fn stat(&self, path: &str) -> Option<Stat> {
        self.tree.get(path).map(|znode| znode.stat)
    }

    pub(crate) fn children(&self, path: &str) -> Vec<String> {
        let below = self.tree.keys().filter_map(|key| key.rsplit_once('/'));
        below.filter(|(parent, _)| *parent == path).map(|(_, name)| name.to_owned()).collect()
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.sessions.values().map(|session| session.deadline).min()
    }

    /// Ends every session whose time is up.
    pub(crate) fn expire(&mut self, now: u64) {
        let over = |(id, session): (&SessionId, &Session)| (session.deadline <= now).then_some(*id);
        for id in self.sessions.iter().filter_map(over).collect::<Vec<_>>() {
            self.end(id);
        }
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let is_its =
            |(path, znode): (&String, &Znode)| (znode.stat.ephemeral_owner == id).then(|| path.clone());
        for path in self.tree.iter().filter_map(is_its).collect::<Vec<_>>() {
            self.write(&Op::Delete { path, version: -1 }, id).unwrap();
        }
        if let Some(caller) = session.caller {
            self.hang_up(caller);
            self.outbox.push((caller, None));
        }
    }

    /// Does something that no client asked for.
    pub(crate) fn edit(&mut self, op: &Op) {
        self.write(op, SessionId::NONE).unwrap();
    }

    pub(crate) fn hang_up(&mut self, caller: Caller) {
        self.watches.retain(|(_, _, watcher)| *watcher != caller);
        for session in self.sessions.values_mut().filter(|session| session.caller == Some(caller)) {
            session.caller = None;
        }
    }

    pub(crate) fn receive(&mut self, now: u64, caller: Caller, frame: ClientFrame) {
        match frame {
            ClientFrame::Connect { timeout_ms, session, last_zxid_seen, .. } => {
                assert!(last_zxid_seen <= self.zxid(), "nobody has seen the future");
                self.attach(now, caller, timeout_ms, session);
            }
            ClientFrame::Request { xid, op } => self.request(now, caller, xid, &op),
        }
    }

    fn attach(&mut self, now: u64, caller: Caller, timeout_ms: u64, asked: SessionId) {
        let refused = asked != SessionId::NONE && !self.sessions.contains_key(&asked);
        if refused {
            let frame = ServerFrame::Connected {
                timeout_ms: 0,
                session: SessionId::NONE,
                password: 0,
                read_only: false,
            };
            self.outbox.extend([(caller, Some(frame)), (caller, None)]);
            return;
        }
        let id = if asked == SessionId::NONE { self.open() } else { asked };
        let timeout_ns = timeout_ms * 1_000_000;
        let session = Session { timeout_ns, deadline: now + timeout_ns, caller: Some(caller) };
        let before = self.sessions.insert(id, session);
        if let Some(old) = before.and_then(|session| session.caller).filter(|old| *old != caller) {
            self.hang_up(old);
            self.outbox.push((old, None));
        }
        let connected = ServerFrame::Connected { timeout_ms, session: id, password: 9, read_only: false };
        self.outbox.push((caller, Some(connected)));
    }

    fn open(&mut self) -> SessionId {
        self.opened += 1;
        self.counter += 1;
        SessionId(0x0100_0000_0000_0000 + self.opened)
    }

    fn zxid(&self) -> Zxid {
        Zxid::new(Epoch(1), self.counter)
    }

    fn request(&mut self, now: u64, caller: Caller, xid: i32, op: &Op) {
        let owner = self.sessions.iter_mut().find(|(_, session)| session.caller == Some(caller));
        let Some((id, session)) = owner else { return };
        let id = *id;
        session.deadline = now + session.timeout_ns;
        self.heard.push(op.clone());
        if op.is_write() {
            self.asked.push(op.clone());
        }
        let result = if op.is_write() { self.write(op, id) } else { self.read(op, caller) };
        self.outbox.push((caller, Some(ServerFrame::Reply { xid, zxid: self.zxid(), result })));
        if *op == Op::CloseSession {
            self.end(id);
        }
    }

    fn read(&mut self, op: &Op, caller: Caller) -> Result<Reply, ZkError> {
        let mut watch = |is_child, path: &String, wanted: bool| {
            if wanted {
                self.watches.insert((is_child, path.clone(), caller));
            }
        };
        match op {
            Op::Exists { path, watch: wanted } => {
                watch(false, path, *wanted);
                self.stat(path).map(Reply::Stat).ok_or(ZkError::NoNode)
            }
            Op::GetData { path, watch: wanted } => {
                let found = self.tree.get(path).ok_or(ZkError::NoNode)?;
                watch(false, path, *wanted);
                Ok(Reply::Data { data: found.data.clone(), stat: found.stat })
            }
            Op::GetChildren { path, watch: wanted } => {
                let stat = self.tree.get(path).ok_or(ZkError::NoNode)?.stat;
                watch(true, path, *wanted);
                Ok(Reply::Children { names: self.children(path), stat })
            }
            Op::Sync { path } => Ok(Reply::Synced { path: path.clone() }),
            Op::SetWatches { relative_zxid, data, exist, child, .. } => {
                self.catch_up(caller, *relative_zxid, [data, exist, child]);
                Ok(Reply::Done)
            }
            _ => Ok(Reply::Done),
        }
    }

    fn catch_up(&mut self, caller: Caller, seen: Zxid, [data, exist, child]: [&Vec<String>; 3]) {
        use WatchChange::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
        let missed_data = |stat: Option<Stat>| match stat {
            None => Some(NodeDeleted),
            Some(stat) => (stat.mzxid > seen).then_some(NodeDataChanged),
        };
        let missed_child = |stat: Option<Stat>| match stat {
            None => Some(NodeDeleted),
            Some(stat) => (stat.pzxid > seen).then_some(NodeChildrenChanged),
        };
        let all = data.iter().map(|path| (false, path, missed_data(self.stat(path))));
        let all = all.chain(exist.iter().map(|path| (false, path, self.stat(path).map(|_| NodeCreated))));
        let all = all.chain(child.iter().map(|path| (true, path, missed_child(self.stat(path)))));
        for (is_child, path, missed) in all.collect::<Vec<_>>() {
            match missed {
                Some(change) => self.notify(caller, path, change),
                None => drop(self.watches.insert((is_child, path.clone(), caller))),
            }
        }
    }

    fn notify(&mut self, caller: Caller, path: &str, change: WatchChange) {
        let event = WatchEvent { path: path.to_owned(), change };
        self.outbox.push((caller, Some(ServerFrame::Notification { event, zxid: NO_ZXID })));
    }

    fn fire(&mut self, is_child: bool, path: &str, change: WatchChange) {
        let hit = |(child, watched, _): &&(bool, String, Caller)| *child == is_child && watched == path;
        for entry in self.watches.iter().filter(hit).cloned().collect::<Vec<_>>() {
            self.watches.remove(&entry);
            self.notify(entry.2, path, change);
        }
    }

    fn write(&mut self, op: &Op, session: SessionId) -> Result<Reply, ZkError> {
        self.counter += 1;
        let before = self.tree.clone();
        let mut changes = Vec::new();
        let result = match op {
            Op::Multi(ops) => Ok(self.multi(ops, session, &mut changes)),
            op => self.apply(op, session, &mut changes),
        };
        if matches!(&result, Ok(Reply::Multi(results)) if results.iter().any(Result::is_err)) {
            self.tree = before;
            changes.clear();
        }
        for (is_child, path, change) in changes {
            self.fire(is_child, &path, change);
        }
        result
    }

    fn multi(
        &mut self,
        ops: &[Op],
        session: SessionId,
        changes: &mut Vec<(bool, String, WatchChange)>,
    ) -> Reply {
        let mut results: Vec<Result<Reply, ZkError>> = Vec::new();
        for op in ops {
            match results.last() {
                Some(Err(_)) => results.push(Err(ZkError::RuntimeInconsistency)),
                _ => results.push(self.apply(op, session, changes)),
            }
        }
        if results.iter().any(Result::is_err) {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Ok(Reply::Done);
            }
        }
        Reply::Multi(results)
    }

    fn apply(
        &mut self,
        op: &Op,
        session: SessionId,
        changes: &mut Vec<(bool, String, WatchChange)>,
    ) -> Result<Reply, ZkError> {
        let zxid = self.zxid();
        let check = |znode: &Znode, version: i32| match version == -1 || version == znode.stat.version {
            true => Ok(()),
            false => Err(ZkError::BadVersion),
        };
        match op {
            Op::Create { path, data, mode, .. } => self.create(path, data, *mode, session, changes),
            Op::Delete { path, version } => {
                check(self.tree.get(path).ok_or(ZkError::NoNode)?, *version)?;
                self.tree.remove(path);
                let parent = path.rsplit_once('/').unwrap().0.to_owned();
                self.tree.entry(parent.clone()).and_modify(|znode| znode.stat.pzxid = zxid);
                changes.push((false, path.clone(), WatchChange::NodeDeleted));
                changes.push((true, path.clone(), WatchChange::NodeDeleted));
                changes.push((true, parent, WatchChange::NodeChildrenChanged));
                Ok(Reply::Done)
            }
            Op::SetData { path, data, version } => {
                let znode = self.tree.get_mut(path).ok_or(ZkError::NoNode)?;
                check(znode, *version)?;
                znode.data = data.clone();
                znode.stat.version += 1;
                znode.stat.mzxid = zxid;
                changes.push((false, path.clone(), WatchChange::NodeDataChanged));
                Ok(Reply::Stat(znode.stat))
            }
            Op::Check { path, version } => {
                check(self.tree.get(path).ok_or(ZkError::NoNode)?, *version).map(|()| Reply::Done)
            }
            _ => Ok(Reply::Done),
        }
    }

    fn create(
        &mut self,
        path: &str,
        data: &Data,
        mode: CreateMode,
        session: SessionId,
        changes: &mut Vec<(bool, String, WatchChange)>,
    ) -> Result<Reply, ZkError> {
        let zxid = self.zxid();
        let parent = path.rsplit_once('/').unwrap().0.to_owned();
        let path = if parent.is_empty() {
            path.to_owned()
        } else {
            let parent = self.tree.get_mut(&parent).ok_or(ZkError::NoNode)?;
            parent.stat.pzxid = zxid;
            parent.created += 1;
            match mode.is_sequential() {
                true => format!("{path}{:010}", parent.created - 1),
                false => path.to_owned(),
            }
        };
        if self.tree.contains_key(&path) {
            return Err(ZkError::NodeExists);
        }
        let owner = if mode.is_ephemeral() { session } else { SessionId::NONE };
        let stat = Stat { czxid: zxid, mzxid: zxid, pzxid: zxid, ephemeral_owner: owner, ..Stat::default() };
        self.tree.insert(path.clone(), Znode { data: data.clone(), stat, created: 0 });
        changes.push((false, path.clone(), WatchChange::NodeCreated));
        changes.push((true, parent, WatchChange::NodeChildrenChanged));
        Ok(Reply::Created { path, stat })
    }
}

//! Host — one server with its disk. A crash takes what is not synced; of two files each is synced by itself.

use super::*;

/// One server, up or down, and its disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    pub(crate) server: Option<Server>,
    pub(crate) incarnation: u32,
    /// The next connection that it dials (even) or accepts (odd).
    dialled: u64,
    accepted: u64,
    durable: BTreeMap<FileName, Arc<[u8]>>,
    /// Changes that are not durable, in order.
    pending: Vec<DiskOp>,
    /// What waits for which file.
    waiting: BTreeMap<FileName, Vec<Deferred<Message>>>,
    /// What a process would find on the disk, were it to start now: the last transaction in the oldest
    /// snapshot, and those in the log.
    found: Result<(Zxid, Vec<Zxid>), String>,
}

impl Host {
    /// A machine with an empty disk and no process.
    pub(crate) fn new() -> Self {
        Self {
            server: None,
            incarnation: 0,
            dialled: 0,
            accepted: 1,
            durable: BTreeMap::new(),
            pending: Vec::new(),
            waiting: BTreeMap::new(),
            found: Ok((Zxid(0), Vec::new())),
        }
    }

    /// A new process on what is on disk.
    pub(crate) fn boot(&mut self, config: &EnsembleConfig, me: HostId, defects: &Defects, now: Now) {
        self.incarnation += 1;
        (self.dialled, self.accepted) =
            (u64::from(self.incarnation) << 32, (u64::from(self.incarnation) << 32) + 1);
        let entropy = Entropy::new(u64::from(self.incarnation));
        self.server = Some(Server::boot(config.clone(), me, defects.clone(), entropy, &self.durable, now));
    }

    /// Power is lost: what is not synced is gone.
    pub(crate) fn crash(&mut self) {
        self.server = None;
        self.pending.clear();
        self.waiting.clear();
    }

    /// A number for a connection that somebody else has dialled.
    pub(crate) fn accept(&mut self) -> ConnId {
        self.accepted += 2;
        ConnId(self.accepted)
    }

    /// One input for its process; nothing if it is down.
    pub(crate) fn step(&mut self, now: Now, input: Input<Message>) -> Vec<Effect<Message>> {
        let Some(server) = &mut self.server else { return Vec::new() };
        let mut out = Output::new(self.dialled);
        server.step(now, input, &mut out);
        let effects: Vec<_> = out.drain().collect();
        self.dialled +=
            2 * effects.iter().filter(|effect| matches!(effect, Effect::Dial { .. })).count() as u64;
        effects
    }

    /// When its process wants to be woken.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.server.as_ref().and_then(Core::next_wake).map(|at| at.0)
    }

    pub(crate) fn change(&mut self, op: DiskOp) {
        self.pending.push(op);
    }

    /// Takes what waits for a file; gives it back if the file is durable already.
    pub(crate) fn after_sync(
        &mut self,
        file: FileName,
        then: Deferred<Message>,
    ) -> Option<Deferred<Message>> {
        let waits = self.waiting.contains_key(&file) || self.pending.iter().any(|op| *op.file() == file);
        if !waits {
            return Some(then);
        }
        self.waiting.entry(file).or_default().push(then);
        None
    }

    /// Files that somebody waits for.
    pub(crate) fn syncing(&self) -> impl Iterator<Item = &FileName> {
        self.waiting.keys()
    }

    /// Makes a file durable, and with it every replacement and removal before, as a journal does. What waited
    /// for it.
    pub(crate) fn sync(&mut self, file: &FileName) -> Vec<Deferred<Message>> {
        let mut left: Vec<DiskOp> = Vec::new();
        for op in std::mem::take(&mut self.pending) {
            let is_journaled = matches!(op, DiskOp::Replace { .. } | DiskOp::Remove { .. });
            if is_journaled {
                left.retain(|earlier| earlier.file() != op.file());
            }
            if is_journaled || op.file() == file {
                self.write(op);
            } else {
                left.push(op);
            }
        }
        self.pending = left;
        self.look_at_disk();
        self.waiting.remove(file).unwrap_or_default()
    }

    fn write(&mut self, op: DiskOp) {
        match op {
            DiskOp::Append { file, bytes } => {
                let before = self.durable.remove(&file).unwrap_or_default();
                self.durable.insert(file, [&*before, &*bytes].concat().into());
            }
            DiskOp::Truncate { file, len } => {
                let before = self.durable.remove(&file).unwrap_or_default();
                let len = before.len().min(len as usize);
                self.durable.insert(file, before[..len].into());
            }
            DiskOp::Replace { file, bytes } => _ = self.durable.insert(file, bytes),
            DiskOp::Remove { file } => _ = self.durable.remove(&file),
        }
    }

    fn look_at_disk(&mut self) {
        self.found = restore(&self.durable).map_err(|refusal| refusal.to_string()).map(|(storage, _)| {
            let records = storage.after(Zxid(0)).map(|record| record.zxid());
            (storage.cut_floor(), records.collect())
        });
    }

    /// Why a process would not start on this disk, if it would not.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.found.as_ref().err().map(String::as_str)
    }

    /// The transactions that a process would find in the log.
    pub(crate) fn logged(&self) -> &[Zxid] {
        self.found.as_ref().map_or(&[], |(_, records)| records)
    }

    /// Whether a process would find this transaction on this disk.
    pub(crate) fn has_durable(&self, zxid: Zxid) -> bool {
        self.found.as_ref().is_ok_and(|(floor, records)| *floor >= zxid || records.contains(&zxid))
    }
}

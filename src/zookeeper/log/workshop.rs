//! Workshop — decides how storage is tested: on a disk that does at once what it asks. It never loses anything.

use std::sync::Arc;

use super::{Record, Storage, Told, restore};
use crate::{
    core::{Deferred, DiskOp, Effect, Files, Output},
    event::EventKind,
    name::{Epoch, SessionId, Zxid},
    zookeeper::{
        peer::Message,
        tree::Database,
        txn::{LoggedTxn, Txn, TxnHeader},
    },
};

/// A transaction that opens a session named like its counter.
pub(crate) fn record(epoch: u32, counter: u32) -> Arc<Record> {
    let zxid = Zxid::new(Epoch(epoch), counter);
    let header = TxnHeader { session: SessionId(zxid.0), xid: 0, zxid, wall_ms: 7 };
    Arc::new(Record::new(LoggedTxn { header, txn: Txn::CreateSession { timeout_ms: 4000 } }))
}

/// A server's storage and tree on a disk of its own.
pub(crate) struct Workshop {
    pub(crate) storage: Storage,
    pub(crate) tree: Database,
    pub(crate) files: Files,
    pub(crate) notes: Vec<EventKind>,
    pub(crate) told: Vec<Told>,
    pub(crate) out: Output<Message>,
}

impl Workshop {
    pub(crate) fn on(files: Files) -> Self {
        let (storage, tree) = restore(&files).expect("files that are right");
        let (notes, told, out) = (Vec::new(), Vec::new(), Output::default());
        let mut workshop = Self { storage, tree, files, notes, told, out };
        workshop.storage.repair(&mut workshop.out);
        if !workshop.storage.is_founded() {
            workshop.storage.found(&workshop.tree, &mut workshop.out);
        }
        workshop.settle();
        workshop
    }

    /// Logs and applies transactions of one epoch.
    pub(crate) fn log(&mut self, epoch: u32, counters: std::ops::RangeInclusive<u32>) {
        for counter in counters {
            let record = record(epoch, counter);
            self.storage.append(record.clone(), &mut self.out);
            self.tree.apply(record.txn());
        }
        self.settle();
    }

    pub(crate) fn snapshot(&mut self) {
        self.storage.take_snapshot(&self.tree, &mut self.out);
        self.settle();
    }

    pub(crate) fn cut(&mut self, zxid: Zxid) {
        self.tree = self.storage.cut(zxid, &mut self.out);
        self.settle();
    }

    /// The same server after a restart.
    pub(crate) fn reopened(&self) -> Self {
        Self::on(self.files.clone())
    }

    pub(crate) fn logged(&self) -> Vec<Zxid> {
        self.storage.after(Zxid(0)).map(|record| record.zxid()).collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.keys().map(|name| &**name).collect()
    }

    /// Does what was asked, and what follows from it.
    pub(crate) fn settle(&mut self) {
        while self.settle_one_sync() {}
    }

    /// Carries effects out up to the first sync that tells, and answers it; false if there was none.
    fn settle_one_sync(&mut self) -> bool {
        let mut tokens = Vec::new();
        for effect in self.out.drain() {
            match effect {
                Effect::Disk(op) => write(&mut self.files, op),
                Effect::AfterSync { then: Deferred::Tell { token }, .. } => tokens.push(token),
                Effect::AfterSync { then: Deferred::Note(event), .. } => self.notes.push(event),
                _ => {}
            }
        }
        for token in &tokens {
            self.told.extend(self.storage.synced(*token, &mut self.out));
        }
        !tokens.is_empty()
    }
}

pub(crate) fn write(files: &mut Files, op: DiskOp) {
    match op {
        DiskOp::Append { file, bytes } => {
            let before = files.get(&file).cloned().unwrap_or_default();
            files.insert(file, [&*before, &*bytes].concat().into());
        }
        DiskOp::Truncate { file, len } => {
            let cut = files[&file][..len as usize].into();
            files.insert(file, cut);
        }
        DiskOp::Replace { file, bytes } => _ = files.insert(file, bytes),
        DiskOp::Remove { file } => _ = files.remove(&file),
    }
}

//! Snapshots — decides when a whole database is written, and which files it makes superfluous. It never
//! removes what is still relied on.

use std::sync::Arc;

use super::{
    Storage, Told,
    queue::Work,
    record::{read_snapshot, write_snapshot},
};
use crate::{
    core::{Deferred, DiskOp, FileName, Output},
    event::EventKind,
    name::Zxid,
    zookeeper::{peer::Message, tree::Database},
};

/// Snapshots kept (`autopurge.snapRetainCount`).
const SNAPSHOTS_KEPT: usize = 3;

/// A snapshot file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Snapshot {
    /// The last transaction in it.
    pub(super) zxid: Zxid,
    pub(super) file: FileName,
    pub(super) bytes: Arc<[u8]>,
    /// Whether it was taken between those that are due, by a new leader: it goes when there is a newer one,
    /// so that many elections do not shorten the log.
    pub(super) interim: bool,
}

impl Snapshot {
    fn is_kept_at(&self, durable: Zxid) -> bool {
        self.zxid <= durable && !self.interim
    }
}

impl Storage {
    /// Whether there is a snapshot to build on. A server without any file has none.
    pub fn is_founded(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// Writes the first snapshot. It has to be durable ([`Told::Founded`]) before anything is logged, since
    /// a log with no snapshot is refused.
    pub fn found(&mut self, tree: &Database, out: &mut Output<Message>) {
        let file = self.write(tree.last_processed(), write_snapshot(tree), out);
        self.tell(&file, Told::Founded, out);
    }

    /// How large the newest snapshot is, in bytes.
    pub fn snapshot_len(&self) -> usize {
        self.snapshots.last().map_or(0, |snapshot| snapshot.bytes.len())
    }

    /// Takes a snapshot of the tree and lets the log go on in a new file. Older files go when it is
    /// durable ([`Told::Snapshot`]). False if there is this snapshot already.
    pub fn take_snapshot(&mut self, tree: &Database, out: &mut Output<Message>) -> bool {
        let zxid = tree.last_processed();
        if self.snapshots.last().is_some_and(|newest| newest.zxid >= zxid) {
            return false;
        }
        let file = self.write(zxid, write_snapshot(tree), out);
        self.queue.push(Work::After(file.clone(), Deferred::Note(EventKind::SnapshotTaken { zxid })), out);
        self.tell(&file, Told::Snapshot(zxid), out);
        if let Some(current) = self.files.last()
            && !self.rolled
        {
            self.queue.push(Work::Barrier(current.name.clone()), out);
            self.rolled = true;
        }
        true
    }

    /// Cuts the log after `zxid`, snapshots of later states included (ZOOKEEPER-4837), and returns the
    /// database of what is left.
    ///
    /// # Panics
    ///
    /// If `zxid` is before [`Storage::cut_floor`].
    pub fn cut(&mut self, zxid: Zxid, out: &mut Output<Message>) -> Database {
        assert!(zxid >= self.cut_floor(), "a log is not cut before its oldest snapshot");
        while self.last_zxid() > zxid {
            self.records.pop_back();
        }
        while let Some(late) = self.snapshots.pop_if(|snapshot| snapshot.zxid > zxid) {
            self.remove(late.file, out);
        }
        self.cut_files(out);
        self.rebuild()
    }

    /// Replaces everything by a leader's snapshot.
    pub fn install(&mut self, zxid: Zxid, bytes: Arc<[u8]>, out: &mut Output<Message>) {
        let old = std::mem::take(&mut self.snapshots);
        let file = self.write(zxid, bytes, out);
        self.queue.push(Work::Barrier(file.clone()), out);
        while let Some(log) = self.files.pop() {
            self.remove(log.name, out);
        }
        for stale in old.into_iter().rev().filter(|snapshot| snapshot.file != file) {
            self.remove(stale.file, out);
        }
        self.records.clear();
        self.base = (zxid, 0);
    }

    /// Removes the files that hold nothing of what is left, the newest first, then cuts the last one.
    fn cut_files(&mut self, out: &mut Output<Message>) {
        let last = self.last_zxid();
        while let Some(late) = self.files.pop_if(|file| file.after >= last) {
            self.remove(late.name, out);
        }
        let end = self.records.back().map_or(self.base.1, |kept| kept.end);
        if let Some(file) = self.files.last_mut()
            && file.len > end
        {
            file.len = end;
            let op = DiskOp::Truncate { file: file.name.clone(), len: end };
            self.queue.push(Work::Change(op), out);
        }
    }

    /// The database of the whole log.
    fn rebuild(&self) -> Database {
        let newest = self.snapshots.last().expect("the oldest snapshot is never cut off");
        let mut tree = read_snapshot(&newest.bytes).expect("snapshots are checked before they are kept");
        for record in self.after(newest.zxid) {
            tree.apply(record.txn());
        }
        tree
    }

    /// As [`Storage::take_snapshot`], for a server that begins to lead.
    pub fn take_interim_snapshot(&mut self, tree: &Database, out: &mut Output<Message>) -> bool {
        let taken = self.take_snapshot(tree, out);
        if taken && let Some(newest) = self.snapshots.last_mut() {
            newest.interim = true;
        }
        taken
    }

    fn drop_interim(&mut self, durable: Zxid, out: &mut Output<Message>) {
        let oldest = self.snapshots[0].zxid;
        let goes =
            |snapshot: &mut Snapshot| snapshot.interim && snapshot.zxid < durable && snapshot.zxid != oldest;
        for old in self.snapshots.extract_if(.., goes) {
            self.queue.push(Work::Change(DiskOp::Remove { file: old.file }), out);
        }
    }

    /// Drops what the newest durable snapshots make superfluous.
    pub(super) fn purge(&mut self, durable: Zxid, out: &mut Output<Message>) {
        self.drop_interim(durable, out);
        let count = self.snapshots.iter().filter(|snapshot| snapshot.is_kept_at(durable)).count();
        for old in self.snapshots.drain(..count.saturating_sub(SNAPSHOTS_KEPT)) {
            self.queue.push(Work::Change(DiskOp::Remove { file: old.file }), out);
        }
        let oldest = self.snapshots[0].zxid;
        let superfluous = self.files.windows(2).take_while(|pair| pair[1].after <= oldest).count();
        for old in self.files.drain(..superfluous) {
            self.queue.push(Work::Change(DiskOp::Remove { file: old.name }), out);
        }
        while let Some(kept) = self.records.pop_front_if(|kept| kept.record.zxid() <= oldest) {
            self.base.1 = kept.end;
        }
        self.base.0 = oldest;
    }

    /// Removes a file for good before anything else happens.
    fn remove(&mut self, file: FileName, out: &mut Output<Message>) {
        self.queue.push(Work::Change(DiskOp::Remove { file: file.clone() }), out);
        self.queue.push(Work::Barrier(file), out);
    }

    fn write(&mut self, zxid: Zxid, bytes: Arc<[u8]>, out: &mut Output<Message>) -> FileName {
        let file: FileName = format!("snapshot.{:x}", zxid.0).into();
        self.replace(&file, bytes.clone(), out);
        self.snapshots.push(Snapshot { zxid, file: file.clone(), bytes, interim: false });
        file
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::workshop::{Workshop, record},
        *,
    };
    use crate::{
        core::{Effect, Files},
        name::Epoch,
    };

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    /// Snapshots after 3, 6, 9, 12 and 15; the log goes on to 17.
    fn with_snapshots() -> Workshop {
        let mut workshop = Workshop::on(Files::new());
        for first in [1, 4, 7, 10, 13] {
            workshop.log(1, first..=first + 2);
            workshop.snapshot();
        }
        workshop.log(1, 16..=17);
        workshop
    }

    #[test]
    fn three_snapshots_and_the_logs_they_need_are_kept() {
        let workshop = with_snapshots();
        let kept = ["log.10000000a", "log.10000000d", "log.100000010"];
        let snapshots = ["snapshot.100000009", "snapshot.10000000c", "snapshot.10000000f"];
        assert_eq!(workshop.names(), [kept, snapshots].concat());
        assert_eq!(workshop.storage.cut_floor(), zxid(9));
        assert_eq!(workshop.logged().len(), 8);
    }

    #[test]
    fn interim_snapshots_do_not_shorten_the_log() {
        let mut workshop = Workshop::on(Files::new());
        for first in [1, 4, 7, 10, 13] {
            workshop.log(1, first..=first + 2);
            workshop.storage.take_interim_snapshot(&workshop.tree, &mut workshop.out);
            workshop.settle();
        }
        assert_eq!((workshop.storage.cut_floor(), workshop.logged().len()), (Zxid(0), 15));
        let snapshots: Vec<_> =
            workshop.names().into_iter().filter(|name| name.starts_with("snap")).collect();
        assert_eq!(snapshots, ["snapshot.0", "snapshot.10000000f"]);
    }

    /// "A snapshot must be durable before what relies on it".
    #[test]
    fn nothing_is_removed_before_the_snapshot_is_durable() {
        let mut workshop = with_snapshots();
        workshop.storage.take_snapshot(&workshop.tree, &mut workshop.out);
        let removes = |effect: &Effect<Message>| matches!(effect, Effect::Disk(DiskOp::Remove { .. }));
        assert!(!workshop.out.effects().iter().any(removes));
        workshop.settle();
        assert!(!workshop.names().contains(&"snapshot.100000009"));
    }

    /// The host promises nothing about the order of two files: a hole would be refused at restart.
    #[test]
    fn next_log_file_waits_until_the_one_before_is_durable() {
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 1..=3);
        workshop.storage.take_snapshot(&workshop.tree, &mut workshop.out);
        workshop.storage.append(record(1, 4), &mut workshop.out);
        let opens = |effect: &Effect<Message>| matches!(effect, Effect::Disk(DiskOp::Append { .. }));
        assert!(!workshop.out.effects().iter().any(opens));
        workshop.settle();
        assert!(workshop.names().contains(&"log.100000004"));
    }

    /// "TRUNC: cut log after zxid, delete later log files. Snapshots newer than the zxid must not survive
    /// (ZOOKEEPER-4837)".
    #[test]
    fn cut_leaves_exactly_the_prefix_at_every_place() {
        for last in 9..=17 {
            let mut workshop = with_snapshots();
            workshop.cut(zxid(last));
            let expected: Vec<Zxid> = (10..=last).map(zxid).collect();
            assert_eq!(workshop.logged(), expected);
            assert_eq!(workshop.tree.last_processed(), zxid(last));
            assert_eq!(workshop.tree.sessions().len(), last as usize);
            let again = workshop.reopened();
            assert_eq!((again.logged(), &again.tree), (expected, &workshop.tree));
        }
    }

    /// ZOOKEEPER-1489: what is logged after a TRUNC must be readable.
    #[test]
    fn log_goes_on_after_a_cut() {
        for last in 9..=17 {
            let mut workshop = with_snapshots();
            workshop.cut(zxid(last));
            workshop.log(2, 1..=3);
            let again = workshop.reopened();
            assert_eq!(again.logged(), workshop.logged());
            assert_eq!(again.tree, workshop.tree);
        }
    }

    #[test]
    fn installed_snapshot_replaces_everything() {
        let leader = with_snapshots();
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 1..=1);
        let bytes = write_snapshot(&leader.tree);
        workshop.storage.install(zxid(17), bytes, &mut workshop.out);
        workshop.settle();
        assert_eq!(workshop.names(), ["snapshot.100000011"]);
        assert_eq!((workshop.storage.last_zxid(), workshop.storage.cut_floor()), (zxid(17), zxid(17)));
        assert_eq!(workshop.reopened().tree, leader.tree);
    }

    /// ZOOKEEPER-2872: what it replaces goes only when the snapshot is durable.
    #[test]
    fn installed_snapshot_is_durable_before_the_old_log_goes() {
        let leader = with_snapshots();
        let mut workshop = Workshop::on(Files::new());
        workshop.log(1, 1..=1);
        workshop.storage.install(zxid(17), write_snapshot(&leader.tree), &mut workshop.out);
        let removes = |effect: &Effect<Message>| matches!(effect, Effect::Disk(DiskOp::Remove { .. }));
        assert!(!workshop.out.effects().iter().any(removes));
    }
}

//! Store — decides what a copy holds: its engine, translog and history as one. It never speaks to another
//! copy, and it never decides which operation is right: the caller has checked the sender's term.
//!
//! The state of a copy is always its durable commit and, on top, its history. So when the primary of a newer
//! term has another operation under a number, or none, the history is corrected and the engine built anew
//! from the commit: that is what Elasticsearch's replica does when it resets its engine to the safe commit.
//! It is sound because only a *safe* commit is ever made durable: one whose every operation is at or below
//! the global checkpoint, so that no primary can lack it.
//!
//! An operation leaves the history only when it is in a durable commit or when a primary has voided it.
//! A replica that learns of a new term forgets *which* of its operations the primary has confirmed, never
//! the operations: it may be the next primary, and they may have been acknowledged.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    core::{DiskOp, FileName, Files},
    event::HeldDoc,
    name::{AllocationId, SeqNo, ShardId, Term},
    search::{
        engine::{Engine, Failure},
        leases::Leases,
        operation::{Action, Operation},
        shard::{
            checkpoint::LocalCheckpoint,
            layout::{copy_prefix, folder_prefix, state_file},
        },
        translog::{Record, Translog, frame, unframe},
    },
};

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new here.
    Fresh,
    /// It was here.
    Known,
    /// Another one had its number, and is gone.
    Superseding,
}

/// What the `state` file of a copy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StateFile {
    folder: u32,
    primary_term: Term,
    leases: Leases,
}

/// What a copy holds.
#[derive(Debug)]
pub struct Store {
    shard: ShardId,
    allocation: AllocationId,
    folder: u32,
    /// The highest term in which this copy may have numbered operations, as `state` says.
    primary_term: Term,
    /// The same, of the lives before the process started.
    former_term: Term,
    /// The index.
    pub engine: Engine,
    translog: Translog,
    history: BTreeMap<SeqNo, Arc<Operation>>,
    /// Every operation above this number is in the history.
    floor: SeqNo,
    /// What the primary of the current term is known to have: reported to it as the local checkpoint.
    confirmed: LocalCheckpoint,
    global_checkpoint: SeqNo,
    max_seq_no: SeqNo,
    uncommitted: u32,
    uncommitted_bytes: u64,
    /// Every operation up to here is durable here, as far as is known.
    persisted: SeqNo,
    /// The same, once the sync ends that goes on.
    syncing: SeqNo,
    /// Which operations are kept for whom.
    pub leases: Leases,
    journal: Vec<DiskOp>,
}

impl Store {
    /// An empty store.
    ///
    /// # Errors
    ///
    /// If the engine fails.
    pub fn create(shard: &ShardId, allocation: AllocationId) -> Result<Self, Failure> {
        let prefix = folder_prefix(shard, allocation, 0);
        let engine = Engine::create(&format!("{prefix}index/"), allocation);
        let translog = Translog::create(&format!("{prefix}translog."), SeqNo::NONE);
        let mut store = Self::over(shard, allocation, 0, engine, translog);
        store.write_state();
        Ok(store)
    }

    /// The store that a disk holds; none if its `state` never became durable.
    ///
    /// # Errors
    ///
    /// If a durable file is missing or damaged.
    pub fn open(shard: &ShardId, allocation: AllocationId, disk: &Files) -> Result<Option<Self>, Failure> {
        let name = state_file(shard, allocation);
        let Some(bytes) = disk.get(name.as_str()) else { return Ok(None) };
        let (StateFile { folder, primary_term, leases }, _) =
            unframe(bytes, 0).ok_or_else(|| Failure(format!("{name} is damaged")))?;
        let prefix = folder_prefix(shard, allocation, folder);
        let engine = Engine::open(&format!("{prefix}index/"), allocation, disk)?;
        let opened = Translog::open(&format!("{prefix}translog."), disk);
        let (translog, replayed) = opened.map_err(|damage| Failure(damage.to_string()))?;
        let mut store = Self::over(shard, allocation, folder, engine, translog);
        store.global_checkpoint =
            store.global_checkpoint.max(replayed.global_checkpoint.unwrap_or(SeqNo::NONE));
        let floor = store.floor;
        store.history = replayed.operations.into_iter().filter(|(seq_no, _)| *seq_no > floor).collect();
        store.uncommitted = store.history.len() as u32;
        store.max_seq_no = store.history.keys().next_back().copied().unwrap_or(floor);
        (store.primary_term, store.former_term) = (primary_term, primary_term);
        store.leases = leases;
        store.replay();
        store.confirm_all();
        store.drop_strangers(disk, &prefix);
        Ok(Some(store))
    }

    /// The file that keeps a store from being opened because it is not what was written, if there is one.
    pub fn damaged_file(shard: &ShardId, allocation: AllocationId, disk: &Files) -> Option<String> {
        let name = state_file(shard, allocation);
        let Some((StateFile { folder, .. }, _)) = unframe(disk.get(name.as_str())?, 0) else {
            return Some(name);
        };
        let prefix = folder_prefix(shard, allocation, folder);
        let translog = Translog::open(&format!("{prefix}translog."), disk).err();
        let translog = translog.map(|damage| damage.file.to_string());
        translog.or_else(|| Engine::damaged_file(&format!("{prefix}index/"), disk))
    }

    /// A store of files that the primary has committed, in a folder of its own beside the one in use. What
    /// this one has above that commit comes along: it may have been acknowledged, and if the primary dies
    /// before it has sent the rest, this copy may be the only one in sync.
    ///
    /// # Errors
    ///
    /// If the files make up no commit.
    pub fn install(&self, files: &BTreeMap<String, Arc<[u8]>>) -> Result<Self, Failure> {
        let folder = self.folder + 1;
        let prefix = folder_prefix(&self.shard, self.allocation, folder);
        let engine = Engine::install(&format!("{prefix}index/"), self.allocation, files)?;
        let committed = engine.publishing().map_or(SeqNo::NONE, |commit| commit.max_seq_no);
        let mut translog = Translog::create(&format!("{prefix}translog."), committed);
        let history = self.history.range(committed.next()..).map(|(seq_no, kept)| (*seq_no, kept.clone()));
        let history: BTreeMap<_, _> = history.collect();
        for operation in history.values() {
            translog
                .append(&Record::Operation { operation: operation.clone(), global_checkpoint: committed });
        }
        let mut installed = Self::over(&self.shard, self.allocation, folder, engine, translog);
        (installed.primary_term, installed.former_term) = (self.primary_term, self.former_term);
        installed.leases = self.leases.clone();
        installed.max_seq_no = history.keys().next_back().copied().unwrap_or(committed);
        installed.uncommitted = history.len() as u32;
        installed.history = history;
        installed.replay();
        Ok(installed)
    }

    fn over(
        shard: &ShardId,
        allocation: AllocationId,
        folder: u32,
        engine: Engine,
        translog: Translog,
    ) -> Self {
        let commit = engine.publishing().or(engine.durable());
        let floor = commit.map_or(SeqNo::NONE, |commit| commit.max_seq_no);
        Self {
            shard: shard.clone(),
            allocation,
            folder,
            primary_term: Term(0),
            former_term: Term(0),
            engine,
            translog,
            history: BTreeMap::new(),
            floor,
            confirmed: LocalCheckpoint::at(floor),
            // Only a safe commit is ever durable.
            global_checkpoint: floor,
            max_seq_no: floor,
            uncommitted: 0,
            uncommitted_bytes: 0,
            persisted: floor,
            syncing: floor,
            leases: Leases::default(),
            journal: Vec::new(),
        }
    }

    // Left over from a recovery by files that a crash cut short, or whose removal it undid.
    fn drop_strangers(&mut self, disk: &Files, prefix: &str) {
        let own = copy_prefix(&self.shard, self.allocation);
        let state: FileName = state_file(&self.shard, self.allocation).into();
        let strangers =
            disk.keys().filter(|file| file.starts_with(&own) && !file.starts_with(prefix) && **file != state);
        self.journal.extend(strangers.map(|file| DiskOp::Remove { file: file.clone() }));
    }

    /// Says on disk that this copy is going to number operations in this term; to be synced before it does.
    /// Gives whether it may: a former life of it that has done so may have lost what it numbered, and would
    /// number other operations alike. (A state that assigns it anew has a higher term; this one is old.)
    #[must_use]
    pub fn mark_primary(&mut self, term: Term) -> bool {
        if term > self.primary_term {
            self.primary_term = term;
            self.write_state();
        }
        term > self.former_term
    }

    /// The highest term that this copy surely knew, whatever it has forgotten in a restart: nothing of a lower
    /// one may void what it has.
    pub fn known_term(&self) -> Term {
        let operations = self.history.values().map(|operation| operation.term);
        let documents = self.held().into_iter().map(|doc| doc.term);
        operations.chain(documents).max().unwrap_or_default().max(self.primary_term)
    }

    /// The highest term that [`Self::mark_primary`] was told.
    pub fn primary_term(&self) -> Term {
        self.primary_term
    }

    /// Says on disk that this copy exists and where; to be synced before anything is promised.
    pub fn write_state(&mut self) {
        let (folder, primary_term, leases) = (self.folder, self.primary_term, self.leases.clone());
        let bytes = frame(&StateFile { folder, primary_term, leases }).into();
        self.journal.push(DiskOp::Replace { file: self.state_file(), bytes });
    }

    /// The `state` file.
    pub fn state_file(&self) -> FileName {
        state_file(&self.shard, self.allocation).into()
    }

    /// The translog's current file: what is synced before an operation is acknowledged.
    pub fn translog_file(&self) -> FileName {
        self.translog.file()
    }

    fn replay(&mut self) {
        let committed = self.committed();
        for operation in self.history.range(committed.next()..).map(|(_, operation)| operation) {
            self.engine.apply(operation);
        }
    }

    /// Every operation up to here is in the commit that is durable, or is about to be.
    pub fn committed(&self) -> SeqNo {
        let commit = self.engine.publishing().or(self.engine.durable());
        commit.map_or(SeqNo::NONE, |commit| commit.max_seq_no)
    }

    /// Every operation up to here is in the durable commit.
    pub fn durable(&self) -> SeqNo {
        self.engine.durable().map_or(SeqNo::NONE, |commit| commit.max_seq_no)
    }

    /// Takes an operation of a primary whose term is right.
    ///
    /// # Errors
    ///
    /// If the engine has to be built anew and cannot.
    pub fn take(&mut self, operation: &Arc<Operation>) -> Result<Taken, Failure> {
        let seq_no = operation.seq_no;
        let taken = match self.history.get(&seq_no) {
            Some(known) if known.term == operation.term => Taken::Known,
            Some(_) => Taken::Superseding,
            None if seq_no <= self.floor => Taken::Known,
            None => Taken::Fresh,
        };
        self.confirmed.mark(seq_no);
        if taken == Taken::Known {
            return Ok(taken);
        }
        let record =
            Record::Operation { operation: operation.clone(), global_checkpoint: self.global_checkpoint };
        self.uncommitted_bytes += self.translog.append(&record);
        self.history.insert(seq_no, operation.clone());
        self.max_seq_no = self.max_seq_no.max(seq_no);
        self.uncommitted += 1;
        match taken {
            Taken::Superseding => {
                self.was_changed_from(seq_no);
                self.rebuild()?;
            }
            _ => self.engine.apply(operation),
        }
        Ok(taken)
    }

    /// What is durable under this number is not what is here now.
    fn was_changed_from(&mut self, seq_no: SeqNo) {
        let below = SeqNo(seq_no.0 - 1);
        self.persisted = self.persisted.min(below);
        self.syncing = self.syncing.min(below);
    }

    fn rebuild(&mut self) -> Result<(), Failure> {
        self.engine.reset()?;
        self.replay();
        Ok(())
    }

    /// Voids every operation that the primary has not confirmed. Gives their numbers.
    ///
    /// # Errors
    ///
    /// If the engine cannot be built anew.
    pub fn trim_unconfirmed(&mut self) -> Result<Vec<SeqNo>, Failure> {
        let above = self.history.range(self.global_checkpoint.next()..);
        let void: Vec<SeqNo> =
            above.map(|(seq_no, _)| *seq_no).filter(|seq_no| !self.confirmed.has(*seq_no)).collect();
        let Some(first) = void.first() else { return Ok(void) };
        self.was_changed_from(*first);
        self.history.retain(|seq_no, _| !void.contains(seq_no));
        self.max_seq_no = self.history.keys().next_back().copied().unwrap_or(self.floor);
        self.translog.append(&Record::Trim { void: void.clone() });
        self.rebuild()?;
        Ok(void)
    }

    /// A new term began, or a recovery: only what is at or below the global checkpoint is known to be on the
    /// primary too. The operations stay.
    pub fn doubt(&mut self) {
        self.confirmed = LocalCheckpoint::at(self.global_checkpoint);
    }

    /// This copy is the primary now: what it has is right.
    pub fn confirm_all(&mut self) {
        let mut confirmed = LocalCheckpoint::at(self.floor.max(self.global_checkpoint));
        self.history.keys().for_each(|seq_no| confirmed.mark(*seq_no));
        self.confirmed = confirmed;
    }

    /// The numbers up to the highest that no operation has.
    pub fn gaps(&self) -> Vec<SeqNo> {
        let from = self.confirmed.get().0 + 1;
        (from..=self.max_seq_no.0).map(SeqNo).filter(|seq_no| !self.confirmed.has(*seq_no)).collect()
    }

    /// Learns of the global checkpoint of the current term's primary. For an in-sync copy: it has everything
    /// up to there, and so has the primary.
    pub fn learn_global_checkpoint(&mut self, global_checkpoint: SeqNo, in_sync: bool) {
        if in_sync && self.is_complete_to(global_checkpoint) {
            self.confirmed.mark_up_to(global_checkpoint);
        }
        let known = global_checkpoint.min(self.confirmed.get());
        self.global_checkpoint = self.global_checkpoint.max(known);
    }

    fn is_complete_to(&self, seq_no: SeqNo) -> bool {
        let doubted = self.confirmed.get().next()..seq_no.next();
        doubted.is_empty()
            || self.history.range(doubted.clone()).count() as i64 == doubted.end.0 - doubted.start.0
    }

    /// Every operation up to here is on all in-sync copies, as far as this one knows.
    pub fn global_checkpoint(&self) -> SeqNo {
        self.global_checkpoint
    }

    /// Every operation up to here is here and on the primary.
    pub fn local_checkpoint(&self) -> SeqNo {
        self.confirmed.get()
    }

    /// The numbers of the operations at hand above this one.
    pub fn numbers_above(&self, seq_no: SeqNo) -> Vec<SeqNo> {
        self.history.range(seq_no.next()..).map(|(seq_no, _)| *seq_no).collect()
    }

    /// The highest number here.
    pub fn max_seq_no(&self) -> SeqNo {
        self.max_seq_no
    }

    /// The operations from this number on; none if some of them are not at hand any more.
    pub fn operations_from(&self, seq_no: SeqNo) -> Option<Vec<Arc<Operation>>> {
        (seq_no > self.floor)
            .then(|| self.history.range(seq_no..).map(|(_, operation)| operation.clone()).collect())
    }

    /// Operations taken since the last commit was prepared.
    pub fn uncommitted(&self) -> u32 {
        self.uncommitted
    }

    /// Bytes in the translog since the last commit was prepared.
    pub fn uncommitted_bytes(&self) -> u64 {
        self.uncommitted_bytes
    }

    /// Every operation up to here is durable here: what a copy tells its primary when it does not sync each.
    pub fn persisted_checkpoint(&self) -> SeqNo {
        self.persisted.min(self.confirmed.get())
    }

    /// A sync of the translog begins.
    pub fn sync_begins(&mut self) {
        self.syncing = self.local_checkpoint();
    }

    /// It has ended. Every operation up to here was durable by it, and still is the one of its number.
    pub fn sync_ended(&mut self) -> SeqNo {
        self.persisted = self.persisted.max(self.syncing);
        self.syncing
    }

    /// Takes the state as of now for a commit, unless a number is missing or in doubt.
    ///
    /// # Errors
    ///
    /// If the engine fails.
    pub fn prepare_commit(&mut self) -> Result<(), Failure> {
        if self.local_checkpoint() == self.max_seq_no {
            self.engine.prepare_commit(self.max_seq_no)?;
            (self.uncommitted, self.uncommitted_bytes) = (0, 0);
        }
        Ok(())
    }

    /// The commit is durable: the translog needs only what is above it.
    pub fn cut_translog(&mut self) {
        let committed = self.committed();
        let kept = self.history.range(committed.next()..).map(|(_, operation)| operation);
        self.translog.cut(kept, self.global_checkpoint);
    }

    /// The translog's new generation is durable.
    pub fn drop_old_translog(&mut self) {
        self.translog.drop_older();
    }

    /// Forgets operations that nobody needs: those in the durable commit, at or below `needed_above`, and that
    /// no retention lease keeps (`SoftDeletesPolicy`).
    pub fn prune_history(&mut self, needed_above: SeqNo) {
        let leased = self.leases.retained_from().map_or(needed_above, |kept| SeqNo(kept.0 - 1));
        let floor = self.durable().min(needed_above).min(leased).max(self.floor);
        self.history = self.history.split_off(&floor.next());
        self.floor = floor;
    }

    /// Every document and tombstone known, by id.
    pub fn held(&self) -> Vec<HeldDoc> {
        self.engine.held()
    }

    /// A no-op for a number that nobody used (Elasticsearch's `fillSeqNoGaps`).
    pub fn no_op(seq_no: SeqNo, term: Term) -> Arc<Operation> {
        Arc::new(Operation { seq_no, term, version: 0, action: Action::NoOp })
    }

    /// Every file of the folder in use and `state`, for removal.
    pub fn files(&self) -> Vec<FileName> {
        let mut files = self.engine.disk_files();
        files.extend(self.translog.files());
        files.push(self.state_file());
        files
    }

    /// Changes to the disk since the last call, in order.
    pub fn drain(&mut self) -> Vec<DiskOp> {
        let mut ops = self.engine.drain();
        ops.extend(self.translog.drain());
        ops.append(&mut self.journal);
        ops
    }
}

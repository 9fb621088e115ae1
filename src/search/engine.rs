//! Engine — decides how operations become a searchable index, on tantivy. It is the only room that names
//! tantivy, and it never decides when to refresh or commit.
//!
//! Tantivy is driven below its `IndexWriter`, which needs threads: segments are written, opened, merged and
//! committed by hand, under names that we choose, so that equal operations give equal files. As in Lucene,
//! what a refresh makes searchable is not durable: only a commit is, and only [`Engine::name_commit`] names one.
//!
//! Documents are told apart by id: the version map (Elasticsearch's `LiveVersionMap`, here for every id and
//! every tombstone that is not due) says which operation made each what it is. An operation that is older than that changes
//! nothing, so operations may come in any order.

mod aggregate;
mod columns;
mod commit;
mod damage;
mod directory;
mod documents;
mod mapping;
mod merging;
mod norms;
mod phrase;
mod postings;
mod query;
mod schema;
mod search;
mod segment;
#[cfg(test)]
mod tests;
mod tombstones;
mod top;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use tantivy::{DocId, Index, index::SegmentId};

pub use self::{
    aggregate::reduce,
    commit::Commit,
    search::{FetchedSource, Found, Reader, SearchFailure},
    top::Ranked,
};
use self::{
    commit::{META, Manifest, Payload, Tombstone},
    directory::Directory,
    mapping::Mapped,
    schema::Fields,
    segment::{Draft, Segment},
    tombstones::Tombstones,
};
use crate::{
    core::{DiskOp, FileName, Files, Instant},
    event::{Digest, HeldDoc},
    name::{AllocationId, SeqNo, Term},
    search::operation::{Action, Operation},
};

/// The number before all operations.
const NOTHING: SeqNo = SeqNo(-1);

/// Why an index cannot be read or written: its files are not what tantivy wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl<E: Into<tantivy::TantivyError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

/// What is known of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The operation that made it so.
    pub seq_no: SeqNo,
    /// That operation's term.
    pub term: Term,
    /// `_version`.
    pub version: u64,
    /// Hash of the source; none for a tombstone.
    pub digest: Option<Digest>,
    place: Place,
}

/// A document that is not in a segment yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unwritten {
    source: Arc<str>,
    routing: Option<Arc<str>>,
}

/// Where a document's source is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Not in a segment yet.
    Pending(Unwritten),
    /// In a segment.
    Segment { segment: u64, doc: DocId },
    /// Deleted.
    Nowhere,
}

/// The index of one copy.
pub struct Engine {
    allocation: AllocationId,
    directory: Directory,
    fields: Fields,
    /// Made with the first segment: an empty index is nothing but its name.
    index: Option<Index>,
    segments: BTreeMap<u64, Segment>,
    /// The number of the next segment, and of the next file of deletes: never used twice.
    next_number: u64,
    versions: BTreeMap<Arc<str>, Version>,
    pending: BTreeMap<SeqNo, Arc<str>>,
    /// The highest number applied, and what of it all is searchable.
    applied: SeqNo,
    visible: (SeqNo, SeqNo),
    tombstones: Tombstones,
    dead: Vec<(u64, DocId)>,
    /// The commit that the disk surely holds.
    durable: Option<Commit>,
    /// A safe commit on its way to the disk.
    publishing: Option<Commit>,
    /// A commit that is not known to be safe yet.
    candidate: Option<Commit>,
    synced: BTreeSet<String>,
    /// Files that the disk holds otherwise than they were written.
    suspects: BTreeSet<String>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?}, {} documents)", self.directory, self.versions.len())
    }
}

impl Engine {
    /// An empty index whose files go below `prefix`.
    pub fn create(prefix: &str, allocation: AllocationId) -> Self {
        Self::over(Directory::new(prefix), allocation)
    }

    /// The index that the disk holds below `prefix`: its durable commit, or an empty one. Files that the
    /// commit does not name (segments of refreshes before a crash) are removed.
    ///
    /// # Errors
    ///
    /// If a file that the commit names is missing or damaged.
    pub fn open(prefix: &str, allocation: AllocationId, disk: &Files) -> Result<Self, Failure> {
        let mut engine = Self::over(Directory::open(prefix, disk), allocation);
        engine.next_number = engine.number_above_files();
        if let Some(meta) = engine.directory.read(META) {
            let commit = Commit::described(meta)?;
            engine.synced.clone_from(&commit.files);
            engine.durable = Some(commit);
        }
        engine.reset()?;
        Ok(engine)
    }

    /// An index of files that another copy has committed; it is durable once it has been published as any
    /// other commit.
    ///
    /// # Errors
    ///
    /// If the files make up no commit.
    pub fn install(
        prefix: &str,
        allocation: AllocationId,
        files: &BTreeMap<String, Arc<[u8]>>,
    ) -> Result<Self, Failure> {
        let mut engine = Self::create(prefix, allocation);
        for (file, bytes) in files.iter().filter(|(file, _)| *file != META) {
            engine.directory.write(file, bytes.clone());
        }
        let meta = files.get(META).ok_or_else(|| Failure("no meta.json among the files".to_owned()))?;
        let commit = Commit::described(meta.clone())?;
        engine.next_number = engine.number_above_files();
        engine.load(&commit)?;
        engine.publishing = Some(commit);
        Ok(engine)
    }

    fn over(directory: Directory, allocation: AllocationId) -> Self {
        Self {
            allocation,
            directory,
            fields: Fields::shared(),
            index: None,
            segments: BTreeMap::new(),
            next_number: 1,
            versions: BTreeMap::new(),
            pending: BTreeMap::new(),
            applied: NOTHING,
            visible: (NOTHING, NOTHING),
            tombstones: Tombstones::default(),
            dead: Vec::new(),
            durable: None,
            publishing: None,
            candidate: None,
            synced: BTreeSet::new(),
            suspects: BTreeSet::new(),
        }
    }

    // A clone shares all there is.
    fn index(&mut self) -> Result<Index, Failure> {
        if self.index.is_none() {
            self.index = Some(schema::index(&self.directory)?);
        }
        Ok(self.index.clone().expect("it was just made"))
    }

    /// Goes back to the last safe commit, or to an empty index.
    ///
    /// # Errors
    ///
    /// If a file that the commit names is missing or damaged.
    pub fn reset(&mut self) -> Result<(), Failure> {
        self.segments.clear();
        self.versions.clear();
        self.pending.clear();
        self.tombstones = Tombstones::default();
        self.dead.clear();
        self.applied = NOTHING;
        self.visible = (NOTHING, NOTHING);
        self.candidate = None;
        if let Some(commit) = self.publishing.clone().or(self.durable.clone()) {
            self.load(&commit)?;
        }
        self.collect_garbage();
        Ok(())
    }

    fn load(&mut self, commit: &Commit) -> Result<(), Failure> {
        self.verify(commit)?;
        let (manifest, payload) = Manifest::read(&commit.meta)?;
        for named in &manifest.segments {
            let number = self.draw_number();
            let (segment, documents) =
                Segment::open(&self.index()?, &self.fields, named.id, named.max_doc, named.deletes())?;
            for (doc, stored) in documents {
                let version = Version {
                    seq_no: stored.seq_no,
                    term: stored.term,
                    version: stored.version,
                    digest: Some(Digest::of(stored.source.as_bytes())),
                    place: Place::Segment { segment: number, doc },
                };
                self.versions.insert(segment.ids[doc as usize].clone(), version);
            }
            self.segments.insert(number, segment);
        }
        self.next_number = self.next_number.max(manifest.opstamp + 1);
        self.applied = payload.max_seq_no;
        self.visible = (payload.max_seq_no, payload.max_seq_no);
        for tombstone in payload.tombstones {
            let (id, version) = remembered(tombstone);
            self.tombstones.add(version.seq_no, id.clone());
            self.versions.insert(id, version);
        }
        Ok(())
    }

    // Tantivy checks no checksums by itself: a rotten byte would show as a wrong hit, or as a panic.
    fn verify(&self, commit: &Commit) -> Result<(), Failure> {
        if commit.files.is_empty() {
            return Ok(());
        }
        let index = self.index.clone().map_or_else(|| schema::index(&self.directory), Ok)?;
        for file in &commit.files {
            let sound = index.directory().validate_checksum(std::path::Path::new(file))?;
            if !sound {
                return Err(Failure(format!("{file} is damaged")));
            }
        }
        Ok(())
    }

    fn number_above_files(&self) -> u64 {
        let numbers = self.directory.files().into_keys().filter_map(|file| {
            let (segment, rest) = file.split_once('.')?;
            let opstamp = rest.strip_suffix(".del").and_then(|stamp| stamp.parse().ok()).unwrap_or(0);
            Some(u64::from_str_radix(segment.get(16..)?, 16).ok()?.max(opstamp))
        });
        numbers.max().unwrap_or(0) + 1
    }

    fn draw_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    // Named after the copy that wrote it: a segment that is copied never meets another of its name.
    fn segment_id(&self, number: u64) -> SegmentId {
        let name = format!("{:016x}{number:016x}", self.allocation.0);
        SegmentId::from_uuid_string(&name).expect("32 hexadecimal digits are a UUID")
    }

    /// What is known of a document, tombstones included.
    pub fn version(&self, id: &str) -> Option<&Version> {
        self.versions.get(id)
    }

    /// Takes an operation; one that is older than what made the document what it is changes nothing.
    pub fn apply(&mut self, operation: &Operation) {
        self.applied = self.applied.max(operation.seq_no);
        let (id, place) = match &operation.action {
            Action::Index { id, source, routing } => {
                let (source, routing) = (source.clone(), routing.clone());
                (id.as_str(), Place::Pending(Unwritten { source, routing }))
            }
            Action::Delete { id } => (id.as_str(), Place::Nowhere),
            Action::NoOp => return,
        };
        let known = self.versions.get_key_value(id);
        if known.is_some_and(|(_, version)| version.seq_no >= operation.seq_no) {
            return;
        }
        let id = known.map_or_else(|| Arc::from(id), |(id, _)| id.clone());
        self.bury(&id);
        let digest = match &place {
            Place::Pending(doc) => Some(Digest::of(doc.source.as_bytes())),
            _ => None,
        };
        if digest.is_some() {
            self.pending.insert(operation.seq_no, id.clone());
        } else {
            self.tombstones.add(operation.seq_no, id.clone());
        }
        let version = Version {
            seq_no: operation.seq_no,
            term: operation.term,
            version: operation.version,
            digest,
            place,
        };
        self.versions.insert(id, version);
    }

    /// Forgets tombstones up to `up_to` that have been kept for `keep`, counted from the first call that saw each.
    /// Gives how many.
    pub fn prune_tombstones(&mut self, now: Instant, keep: Duration, up_to: SeqNo) -> usize {
        let pruned = self.tombstones.prune(now, keep, up_to);
        pruned.iter().for_each(|id| drop(self.versions.remove(id)));
        pruned.len()
    }

    fn bury(&mut self, id: &str) {
        match self.versions.get(id) {
            Some(Version { place: Place::Segment { segment, doc }, .. }) => self.dead.push((*segment, *doc)),
            Some(Version { place: Place::Pending(_), seq_no, .. }) => {
                self.pending.remove(seq_no);
            }
            Some(Version { place: Place::Nowhere, seq_no, .. }) => self.tombstones.remove(*seq_no),
            None => {}
        }
    }

    /// Whether a refresh would change what searches find.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty() || !self.dead.is_empty()
    }

    /// What is searchable: every operation up to the first number, and maybe some up to the second.
    pub fn visible(&self) -> (SeqNo, SeqNo) {
        self.visible
    }

    /// Makes every operation searchable; those up to `up_to` are all here. Gives how many segments became one.
    ///
    /// # Errors
    ///
    /// If tantivy fails.
    pub fn refresh(&mut self, up_to: SeqNo) -> Result<usize, Failure> {
        self.visible = (up_to, self.applied.max(up_to));
        self.write_pending()?;
        for (segment, doc) in std::mem::take(&mut self.dead) {
            if let Some(segment) = self.segments.get_mut(&segment) {
                segment.delete(doc);
            }
        }
        let before = self.segments.len();
        self.segments.retain(|_, segment| segment.living_count() > 0);
        let mut dropped = self.segments.len() < before;
        let sizes = self.segments.iter().map(|(number, part)| (*number, part.living_count()));
        let chosen = merging::choose(sizes).unwrap_or_default();
        if !chosen.is_empty() {
            self.merge(&chosen)?;
            dropped = true;
        }
        if dropped {
            self.collect_garbage();
        }
        Ok(chosen.len())
    }

    fn write_pending(&mut self) -> Result<(), Failure> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let number = self.draw_number();
        let mut documents = Vec::with_capacity(pending.len());
        for (doc, id) in (0..).zip(pending.into_values()) {
            let version = self.versions.get_mut(&id).expect("what is pending has a version");
            let place = Place::Segment { segment: number, doc };
            let Place::Pending(Unwritten { source, routing }) = std::mem::replace(&mut version.place, place)
            else {
                panic!("a pending document has its source at hand");
            };
            let Version { seq_no, term, version, .. } = *version;
            let mut mapped = Mapped::of(&source);
            let named = (&*id, &*source, routing.as_deref());
            let document = self.fields.document(named, (seq_no, term, version), &mut mapped);
            documents.push(Draft { id, document, lengths: mapped.lengths });
        }
        let segment = Segment::write(&self.index()?, self.segment_id(number), documents)?;
        self.segments.insert(number, segment);
        Ok(())
    }

    fn merge(&mut self, chosen: &BTreeSet<u64>) -> Result<(), Failure> {
        // A merge gives what it reads a checksum of its own: rot would become right.
        self.check_reread()?;
        let parts: Vec<_> = chosen.iter().map(|number| &self.segments[number]).collect();
        // A fresh index forgets the files it knew of: tantivy's list of them only grows.
        let index = schema::index(&self.directory)?;
        let number = self.next_number;
        let segment = Segment::merge(&index, &self.directory, self.segment_id(number), &parts)?;
        self.index = Some(index);
        self.next_number = number + 1;
        for (doc, id) in segment.living() {
            let version = self.versions.get_mut(id).expect("a living document has a version");
            version.place = Place::Segment { segment: number, doc };
        }
        self.segments.retain(|number, _| !chosen.contains(number));
        self.segments.insert(number, segment);
        Ok(())
    }

    // A file goes when nothing needs it: not the searchable segments, nor a commit that is or may become
    // durable.
    fn collect_garbage(&mut self) {
        let mut needed: BTreeSet<String> = self.segments.values().flat_map(Segment::files).collect();
        for commit in [&self.durable, &self.publishing, &self.candidate].into_iter().flatten() {
            needed.extend(commit.files.iter().cloned());
        }
        for file in self.directory.files().into_keys() {
            if file != META && !needed.contains(&file) {
                self.directory.remove(&file);
                self.synced.remove(&file);
            }
        }
    }

    /// Every document and tombstone known, by id.
    pub fn held(&self) -> Vec<HeldDoc> {
        let held = self.versions.iter().map(|(id, version)| HeldDoc {
            id: id.to_string(),
            seq_no: version.seq_no,
            term: version.term,
            source: version.digest,
        });
        held.collect()
    }

    /// Takes the state as of now, every operation up to `max_seq_no` and nothing else, as the candidate for
    /// the next commit.
    ///
    /// # Errors
    ///
    /// If tantivy fails.
    pub fn prepare_commit(&mut self, max_seq_no: SeqNo) -> Result<(), Failure> {
        self.check_reread()?;
        self.refresh(max_seq_no)?;
        let opstamp = self.draw_number();
        for segment in self.segments.values_mut() {
            segment.write_deletes(opstamp)?;
        }
        let tombstones = self.versions.iter().filter(|(_, version)| version.place == Place::Nowhere);
        let tombstones = tombstones.map(|(id, version)| tombstone(id, version)).collect();
        let payload = Payload { max_seq_no, tombstones };
        let commit = Commit::of(self.segments.values(), opstamp, &payload)?;
        self.candidate = Some(commit);
        Ok(())
    }

    /// The candidate for the next commit.
    pub fn candidate(&self) -> Option<&Commit> {
        self.candidate.as_ref()
    }

    /// The safe commit that is on its way to the disk.
    pub fn publishing(&self) -> Option<&Commit> {
        self.publishing.as_ref()
    }

    /// The commit that the disk holds.
    pub fn durable(&self) -> Option<&Commit> {
        self.durable.as_ref()
    }

    /// The candidate is safe: it is to become durable. Its files are [`Self::files_to_sync`].
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn begin_publish(&mut self) {
        assert!(self.candidate.is_some(), "what is published has been prepared");
        self.publishing = self.candidate.take();
    }

    /// Files of the commit on its way to the disk that have not been synced yet.
    pub fn files_to_sync(&self) -> Vec<FileName> {
        let files = self.publishing.iter().flat_map(|commit| &commit.files);
        files.filter(|file| !self.synced.contains(*file)).map(|file| self.directory.disk_name(file)).collect()
    }

    /// All files of the commit on its way are synced: `meta.json` is to name them. Gives its name, to be
    /// synced.
    ///
    /// # Panics
    ///
    /// If no commit is on its way.
    pub fn name_commit(&mut self) -> FileName {
        let commit = self.publishing.as_ref().expect("what is named has been prepared");
        self.synced.extend(commit.files.iter().cloned());
        self.directory.replace(META, commit.meta.clone());
        self.directory.disk_name(META)
    }

    /// `meta.json` is synced: the commit is durable.
    ///
    /// # Panics
    ///
    /// If no commit was on its way.
    pub fn published(&mut self) {
        assert!(self.publishing.is_some(), "what is durable has been named");
        self.durable = self.publishing.take();
        self.collect_garbage();
    }

    /// Every file of it, as the disk calls them.
    pub fn disk_files(&self) -> Vec<FileName> {
        self.directory.files().into_keys().map(|file| self.directory.disk_name(&file)).collect()
    }

    /// The files of the durable commit, `meta.json` included.
    pub fn snapshot(&self) -> BTreeMap<String, Arc<[u8]>> {
        let Some(commit) = &self.durable else { return BTreeMap::new() };
        let files = commit.files.iter().filter_map(|file| Some((file.clone(), self.directory.read(file)?)));
        files.chain([(META.to_owned(), commit.meta.clone())]).collect()
    }

    /// Changes to the disk since the last call, in order.
    pub fn drain(&mut self) -> Vec<DiskOp> {
        self.directory.drain()
    }
}

fn tombstone(id: &str, version: &Version) -> Tombstone {
    let Version { seq_no, term, version, .. } = *version;
    Tombstone { id: id.to_owned(), seq_no, term, version }
}

fn remembered(tombstone: Tombstone) -> (Arc<str>, Version) {
    let Tombstone { id, seq_no, term, version } = tombstone;
    (id.into(), Version { seq_no, term, version, digest: None, place: Place::Nowhere })
}

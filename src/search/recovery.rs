//! Recovery — decides what the target of a peer recovery asks for next. It never applies anything.
//!
//! The target pulls: it asks the primary, is sent operations or a list of files, fetches those that it does not
//! have (by name, length and checksum) with a few pieces on the way at a time
//! (`indices.recovery.max_concurrent_file_chunks`), and asks again for the operations after them. Whatever goes wrong, it begins a new attempt after a while; answers
//! to an older one are ignored.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    core::Instant,
    event::Digest,
    name::{AllocationId, HostId},
};

/// Bytes in one message of a recovery by files.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// A file of the commit that a recovery brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFile {
    /// Its name.
    pub name: String,
    /// In bytes.
    pub length: u64,
    /// Of its bytes (XXH3).
    pub checksum: Digest,
}

impl CommitFile {
    /// What identifies these bytes under this name.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), length: bytes.len() as u64, checksum: Digest::of(bytes) }
    }
}

/// How far a recovery is.
#[derive(Debug)]
pub enum Progress {
    /// There is no primary to ask; the next cluster state may show one.
    NoSource,
    /// Not to ask before a while.
    BackOff,
    /// The primary has been asked.
    Asked,
    /// Files are being fetched.
    Fetching(Download),
    /// The files are here and become durable.
    Installing,
    /// The primary sends every operation.
    Following,
}

/// The target's side of a peer recovery.
#[derive(Debug)]
pub struct Target {
    /// The number of this attempt, unique on the node.
    pub attempt: u64,
    /// Who has been asked.
    pub source: Option<(HostId, AllocationId)>,
    /// How far it is.
    pub progress: Progress,
    /// When to ask again, or to give the attempt up.
    pub acts_at: Option<Instant>,
    /// Operations received.
    pub operations: u64,
    /// Whether the beginning of the recovery has been noted.
    pub announced: bool,
}

impl Target {
    /// A recovery that has asked nobody yet.
    pub fn new() -> Self {
        Self {
            attempt: 0,
            source: None,
            progress: Progress::NoSource,
            acts_at: None,
            operations: 0,
            announced: false,
        }
    }

    /// Asks a primary; silence until `deadline` ends the attempt.
    pub fn ask(&mut self, attempt: u64, source: (HostId, AllocationId), deadline: Instant) {
        self.attempt = attempt;
        self.source = Some(source);
        self.progress = Progress::Asked;
        self.acts_at = Some(deadline);
    }

    /// Waits before the next attempt.
    pub fn back_off(&mut self, until: Instant) {
        self.progress = Progress::BackOff;
        self.acts_at = Some(until);
    }

    /// Whether operations can be taken: not while the store is being replaced.
    pub fn is_following(&self) -> bool {
        !matches!(self.progress, Progress::Fetching(_) | Progress::Installing)
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.acts_at
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::new()
    }
}

/// Files on their way.
#[derive(Debug)]
pub struct Download {
    files: Vec<CommitFile>,
    wanted: VecDeque<(String, u64)>,
    got: BTreeMap<String, Vec<u8>>,
    reused: BTreeMap<String, Arc<[u8]>>,
    missing: u64,
    on_the_way: usize,
}

impl Download {
    /// Of these files, but for those that are held already.
    pub fn new(files: Vec<CommitFile>, held: &BTreeMap<String, Arc<[u8]>>) -> Self {
        let same = |file: &&CommitFile| {
            let held = held.get(&file.name).filter(|held| held.len() as u64 == file.length);
            held.is_some_and(|held| Digest::of(held) == file.checksum)
        };
        let (kept, lacking): (Vec<_>, Vec<_>) = files.iter().partition(same);
        let reused = kept.iter().map(|file| (file.name.clone(), held[&file.name].clone())).collect();
        let missing = lacking.iter().map(|file| file.length).sum();
        let got = lacking.iter().map(|file| (file.name.clone(), Vec::new())).collect();
        let pieces = lacking.iter().flat_map(|file| {
            (0..file.length).step_by(CHUNK_BYTES).map(move |offset| (file.name.clone(), offset))
        });
        let wanted = pieces.collect();
        Self { files, wanted, got, reused, missing, on_the_way: 0 }
    }

    /// The pieces to ask for now, so that no more than `at_a_time` are on the way: file and offset.
    pub fn next_pieces(&mut self, at_a_time: usize) -> Vec<(String, u64)> {
        let free = at_a_time.saturating_sub(self.on_the_way).min(self.wanted.len());
        self.on_the_way += free;
        self.wanted.drain(..free).collect()
    }

    /// A piece has arrived. False if it does not follow what is here: the attempt is void.
    #[must_use]
    pub fn receive(&mut self, file: &str, offset: u64, bytes: &[u8]) -> bool {
        let Some(held) = self.got.get_mut(file).filter(|held| held.len() as u64 == offset) else {
            return false;
        };
        held.extend_from_slice(bytes);
        self.missing = self.missing.saturating_sub(bytes.len() as u64);
        self.on_the_way = self.on_the_way.saturating_sub(1);
        true
    }

    /// All files, once they are here.
    pub fn finish(&mut self) -> Option<BTreeMap<String, Arc<[u8]>>> {
        let done = self.missing == 0 && self.on_the_way == 0;
        let got = done.then(|| std::mem::take(&mut self.got))?;
        let got = got.into_iter().map(|(file, bytes)| (file, bytes.into()));
        Some(got.chain(std::mem::take(&mut self.reused)).collect())
    }

    /// Whether these are the files that were announced.
    pub fn is_sound(&self, files: &BTreeMap<String, Arc<[u8]>>) -> bool {
        let same = |file: &CommitFile| {
            files.get(&file.name).is_some_and(|bytes| CommitFile::of(&file.name, bytes) == *file)
        };
        self.files.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(lengths: &[(&str, usize)]) -> BTreeMap<String, Arc<[u8]>> {
        let bytes = |len: usize| (0..len).map(|byte| byte as u8).collect::<Vec<_>>().into();
        lengths.iter().map(|(name, len)| ((*name).to_owned(), bytes(*len))).collect()
    }

    fn announced(files: &BTreeMap<String, Arc<[u8]>>) -> Vec<CommitFile> {
        files.iter().map(|(name, bytes)| CommitFile::of(name, bytes)).collect()
    }

    #[test]
    fn files_come_in_pieces_two_at_a_time() {
        let files = files(&[("a", 2 * CHUNK_BYTES + 5), ("b", 0), ("c", 1)]);
        let mut download = Download::new(announced(&files), &BTreeMap::new());
        let mut asked = VecDeque::from(download.next_pieces(2));
        assert_eq!(asked.len(), 2, "no more than two are on the way");
        assert!(download.next_pieces(2).is_empty());
        let mut pieces = 0;
        while let Some((file, offset)) = asked.pop_front() {
            assert!(download.finish().is_none());
            let rest = &files[&file][offset as usize..];
            assert!(download.receive(&file, offset, &rest[..rest.len().min(CHUNK_BYTES)]));
            asked.extend(download.next_pieces(2));
            pieces += 1;
        }
        let finished = download.finish().unwrap();
        assert_eq!((pieces, &finished), (4, &files));
        assert!(download.is_sound(&finished));
    }

    /// "phase 1, checksum compare": a file of the same name, length and checksum is not sent again.
    #[test]
    fn only_files_that_differ_are_fetched() {
        let wanted = files(&[("same", 10), ("longer", 20), ("other", 5), ("new", 1)]);
        let mut held = files(&[("same", 10), ("longer", 19), ("other", 5), ("gone", 3)]);
        held.insert("other".into(), (*b"12345").into());
        let mut download = Download::new(announced(&wanted), &held);
        let asked: Vec<_> = download.next_pieces(9).into_iter().map(|(file, _)| file).collect();
        assert_eq!(asked, ["longer", "new", "other"]);
        asked.iter().for_each(|file| assert!(download.receive(file, 0, &wanted[file])));
        assert_eq!(download.finish().unwrap(), wanted);
    }

    #[test]
    fn damage_on_the_way_is_noticed() {
        let wanted = files(&[("a", 3)]);
        let mut download = Download::new(announced(&wanted), &BTreeMap::new());
        download.next_pieces(1);
        assert!(download.receive("a", 0, b"xyz"));
        let finished = download.finish().unwrap();
        assert!(!download.is_sound(&finished));
    }

    #[test]
    fn piece_out_of_order_voids_the_attempt() {
        let mut download = Download::new(announced(&files(&[("a", 10)])), &BTreeMap::new());
        download.next_pieces(2);
        assert!(!download.receive("a", 3, b"x"));
        assert!(!download.receive("b", 0, b"x"));
    }
}

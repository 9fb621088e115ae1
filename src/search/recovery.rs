//! Recovery — decides what the target of a peer recovery asks for next. It never applies anything.
//!
//! The target pulls: it asks the primary, is sent operations or a list of files, fetches the files with two
//! pieces on the way at a time (as Elasticsearch's `indices.recovery.max_concurrent_file_chunks`), and asks
//! again for the operations after them. Whatever goes wrong, it begins a new attempt after a while; answers
//! to an older one are ignored.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    core::Instant,
    name::{AllocationId, HostId},
};

/// Bytes in one message of a recovery by files.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Pieces of files that are asked for at a time.
const CHUNKS_ON_THE_WAY: usize = 2;

/// After this the target asks again when the primary was not ready
/// (`indices.recovery.retry_delay_state_sync`).
pub const RETRY_DELAY: Duration = Duration::from_millis(500);

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
    wanted: VecDeque<(String, u64)>,
    got: BTreeMap<String, Vec<u8>>,
    missing: u64,
    on_the_way: usize,
}

impl Download {
    /// Of files with these names and lengths in bytes.
    pub fn new(files: Vec<(String, u64)>) -> Self {
        let missing = files.iter().map(|(_, len)| len).sum();
        let got = files.iter().map(|(file, _)| (file.clone(), Vec::new())).collect();
        let pieces = files
            .into_iter()
            .flat_map(|(file, len)| (0..len).step_by(CHUNK_BYTES).map(move |offset| (file.clone(), offset)));
        Self { wanted: pieces.collect(), got, missing, on_the_way: 0 }
    }

    /// The pieces to ask for now: file and offset.
    pub fn next_pieces(&mut self) -> Vec<(String, u64)> {
        let free = (CHUNKS_ON_THE_WAY - self.on_the_way).min(self.wanted.len());
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
        Some(got.into_iter().map(|(file, bytes)| (file, bytes.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_pieces_two_at_a_time() {
        let long = 2 * CHUNK_BYTES as u64 + 5;
        let mut download = Download::new(vec![("a".into(), long), ("b".into(), 0), ("c".into(), 1)]);
        let mut asked = VecDeque::from(download.next_pieces());
        assert_eq!(asked.len(), 2, "no more than two are on the way");
        assert!(download.next_pieces().is_empty());
        let mut pieces = 0;
        while let Some((file, offset)) = asked.pop_front() {
            assert!(download.finish().is_none());
            let len = if file == "c" { 1 } else { (long - offset).min(CHUNK_BYTES as u64) };
            assert!(download.receive(&file, offset, &vec![pieces; len as usize]));
            asked.extend(download.next_pieces());
            pieces += 1;
        }
        let files = download.finish().unwrap();
        let lengths: Vec<_> = files.values().map(|bytes| bytes.len() as u64).collect();
        assert_eq!((pieces, lengths), (4, vec![long, 0, 1]));
    }

    #[test]
    fn piece_out_of_order_voids_the_attempt() {
        let mut download = Download::new(vec![("a".into(), 10)]);
        download.next_pieces();
        assert!(!download.receive("a", 3, b"x"));
        assert!(!download.receive("b", 0, b"x"));
    }
}

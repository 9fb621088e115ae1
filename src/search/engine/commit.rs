//! Commits — decides what a durable state of an index consists of. It never decides when one is made.
//!
//! `meta.json` is tantivy's own, so that any tantivy opens the index; what we must know beside the segments
//! goes into its payload, as Lucene keeps sequence numbers in a commit's user data. A checksum of the whole file stands
//! there too, where Lucene has a footer behind `segments_N`: JSON with a flipped bit is often still JSON.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use tantivy::{IndexMeta, index::SegmentId};

use super::{
    Failure,
    schema::{schema, settings},
    segment::{Deletes, Segment},
};
use crate::{
    event::Digest,
    name::{SeqNo, Term},
};

/// The file that names the segments of the durable commit.
pub(super) const META: &str = "meta.json";

/// A state of the index that can be made durable: every operation up to its highest number, nothing above.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Every operation up to here is in it.
    pub max_seq_no: SeqNo,
    /// Files of its segments.
    pub(super) files: BTreeSet<String>,
    /// What `meta.json` is to hold.
    pub(super) meta: Arc<[u8]>,
}

/// A deleted document that is remembered, so that an older operation does not bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) id: String,
    pub(super) seq_no: SeqNo,
    pub(super) term: Term,
    pub(super) version: u64,
}

/// What the payload of a commit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) max_seq_no: SeqNo,
    pub(super) tombstones: Vec<Tombstone>,
}

/// The payload as it stands in the file.
#[derive(Serialize)]
struct Sealed<'a> {
    checksum: &'a str,
    #[serde(flatten)]
    payload: &'a Payload,
}

/// What stands before the checksum, in JSON within JSON, and what stands for it while it is computed.
const SEAL: &[u8] = b"{\\\"checksum\\\":\\\"";
const UNSEALED: &str = "0000000000000000";

/// Where the checksum stands in a `meta.json`.
fn seal_at(meta: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = meta.windows(SEAL.len()).position(|window| window == SEAL)? + SEAL.len();
    (meta.len() >= start + UNSEALED.len()).then(|| start..start + UNSEALED.len())
}

/// The checksum of a `meta.json`, whatever stands in its place.
fn checksum(meta: &[u8], seal: std::ops::Range<usize>) -> String {
    let mut unsealed = meta.to_vec();
    unsealed[seal].copy_from_slice(UNSEALED.as_bytes());
    format!("{:016x}", Digest::of(&unsealed).0)
}

fn is_sealed(meta: &[u8]) -> bool {
    seal_at(meta).is_some_and(|seal| meta[seal.clone()] == *checksum(meta, seal).as_bytes())
}

/// A segment as `meta.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Named {
    #[serde(rename = "segment_id")]
    pub(super) id: SegmentId,
    pub(super) max_doc: u32,
    deletes: Option<NamedDeletes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct NamedDeletes {
    num_deleted_docs: u32,
    opstamp: u64,
}

impl Named {
    /// Its deletes, if any.
    pub(super) fn deletes(&self) -> Option<Deletes> {
        let deletes = self.deletes?;
        Some(Deletes { count: deletes.num_deleted_docs, opstamp: deletes.opstamp })
    }

    fn files(&self) -> impl Iterator<Item = String> {
        let id = self.id.uuid_string();
        let parts = ["idx", "pos", "fast", "fieldnorm", "term", "store"].map(str::to_owned);
        let deletes = self.deletes.map(|deletes| format!("{}.del", deletes.opstamp));
        parts.into_iter().chain(deletes).map(move |part| format!("{id}.{part}"))
    }
}

/// The parts of `meta.json` that an index is opened by.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Manifest {
    pub(super) segments: Vec<Named>,
    pub(super) opstamp: u64,
    payload: String,
}

impl Manifest {
    /// Reads `meta.json`.
    pub(super) fn read(meta: &[u8]) -> Result<(Self, Payload), Failure> {
        let broken = |error: serde_json::Error| Failure(format!("meta.json: {error}"));
        let manifest: Self = serde_json::from_slice(meta).map_err(broken)?;
        let payload = serde_json::from_str(&manifest.payload).map_err(broken)?;
        Ok((manifest, payload))
    }
}

impl Commit {
    /// The commit of these segments, whose deletes are all in files.
    pub(super) fn of<'a>(
        segments: impl Iterator<Item = &'a Segment> + Clone,
        opstamp: u64,
        payload: &Payload,
    ) -> Result<Self, Failure> {
        let broken = |error: serde_json::Error| Failure(format!("meta.json: {error}"));
        let mut meta = IndexMeta::with_schema(schema());
        meta.index_settings = settings();
        meta.segments = segments.clone().map(Segment::meta).collect();
        meta.opstamp = opstamp;
        let sealed = Sealed { checksum: UNSEALED, payload };
        meta.payload = Some(serde_json::to_string(&sealed).map_err(broken)?);
        let files = segments.flat_map(Segment::files).collect();
        let mut meta = serde_json::to_vec(&meta).map_err(broken)?;
        if let Some(seal) = seal_at(&meta) {
            let checksum = checksum(&meta, seal.clone());
            meta[seal].copy_from_slice(checksum.as_bytes());
        }
        Ok(Self { max_seq_no: payload.max_seq_no, files, meta: meta.into() })
    }

    /// The commit that a `meta.json` describes.
    ///
    /// # Errors
    ///
    /// If it is not what was written.
    pub(super) fn described(meta: Arc<[u8]>) -> Result<Self, Failure> {
        if !is_sealed(&meta) {
            return Err(Failure(format!("{META} is damaged")));
        }
        let (manifest, payload) = Manifest::read(&meta)?;
        let files = manifest.segments.iter().flat_map(Named::files).collect();
        Ok(Self { max_seq_no: payload.max_seq_no, files, meta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_with_any_bit_changed_is_refused() {
        let id = "doc".to_owned();
        let tombstones = vec![Tombstone { id, seq_no: SeqNo(3), term: Term(1), version: 2 }];
        let payload = Payload { max_seq_no: SeqNo(7), tombstones };
        let commit = Commit::of(std::iter::empty(), 4, &payload).unwrap();
        let (_, read) = Manifest::read(&commit.meta).unwrap();
        assert_eq!(read, payload);
        assert_eq!(Commit::described(commit.meta.clone()).unwrap().max_seq_no, SeqNo(7));
        for bit in 0..commit.meta.len() * 8 {
            let mut rotten = commit.meta.to_vec();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(Commit::described(rotten.into()).is_err(), "bit {bit}");
        }
    }
}

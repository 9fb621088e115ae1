//! Commits — decides what a durable state of an index consists of. It never decides when one is made.
//!
//! `meta.json` is tantivy's own, so that any tantivy opens the index; what we must know beside the segments
//! goes into its payload, as Lucene keeps sequence numbers in a commit's user data.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use tantivy::{IndexMeta, index::SegmentId};

use super::{
    Failure,
    schema::{schema, settings},
    segment::{Deletes, Segment},
};
use crate::name::{SeqNo, Term};

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
        meta.payload = Some(serde_json::to_string(payload).map_err(broken)?);
        let files = segments.flat_map(Segment::files).collect();
        let meta = serde_json::to_vec(&meta).map_err(broken)?.into();
        Ok(Self { max_seq_no: payload.max_seq_no, files, meta })
    }

    /// The commit that a `meta.json` describes.
    pub(super) fn described(meta: Arc<[u8]>) -> Result<Self, Failure> {
        let (manifest, payload) = Manifest::read(&meta)?;
        let files = manifest.segments.iter().flat_map(Named::files).collect();
        Ok(Self { max_seq_no: payload.max_seq_no, files, meta })
    }
}

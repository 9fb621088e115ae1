//! Segments — decides how documents become one immutable part of an index, and which of them are still
//! alive. It never decides when.

use std::{collections::BTreeMap, sync::Arc};

use tantivy::{
    BitSet, DocId, Index, SegmentReader, TantivyDocument,
    directory::OwnedBytes,
    fastfield::{AliveBitSet, write_alive_bitset},
    index::{SegmentComponent, SegmentId, SegmentMeta},
    indexer::{AddOperation, SegmentWriter, merge_filtered_segments},
    store::StoreReader,
};

use super::{
    Failure,
    directory::Directory,
    mapping::Mapped,
    norms::{self, Norms},
    schema::{Fields, Stored, settings},
};

/// Blocks of stored documents that a segment keeps at hand.
const STORE_CACHE_BLOCKS: usize = 8;

/// What a segment writer may use before it would write; far above what a refresh brings.
const WRITER_BUDGET_BYTES: usize = 100_000;

/// One open segment.
pub(super) struct Segment {
    segment: tantivy::index::Segment,
    pub(super) reader: SegmentReader,
    pub(super) store: Arc<StoreReader>,
    /// Lengths of text fields.
    pub(super) norms: BTreeMap<String, Norms>,
    /// Ids by document number.
    pub(super) ids: Vec<Arc<str>>,
    alive: BitSet,
    deletes: Option<Deletes>,
}

/// A document to be written.
pub(super) struct Draft {
    pub(super) id: Arc<str>,
    pub(super) document: TantivyDocument,
    /// Words of its text fields.
    pub(super) lengths: BTreeMap<String, u32>,
}

/// The deletes of a segment that a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deletes {
    /// How many documents are dead.
    pub(super) count: u32,
    /// The number of the file: one more than any before in this index.
    pub(super) opstamp: u64,
}

impl Segment {
    /// Writes the documents, in order, as a new segment.
    pub(super) fn write(index: &Index, id: SegmentId, documents: Vec<Draft>) -> Result<Self, Failure> {
        let segment = index.segment(index.new_segment_meta(id, 0));
        let mut writer = SegmentWriter::for_segment(WRITER_BUDGET_BYTES, segment.clone())?;
        let (mut ids, mut norms) = (Vec::with_capacity(documents.len()), BTreeMap::new());
        for (doc, Draft { id, document, lengths }) in (0..).zip(documents) {
            writer.add_document(AddOperation { opstamp: 0, document })?;
            norms::add(&mut norms, doc, &lengths);
            ids.push(id);
        }
        writer.finalize()?;
        Ok(Self { norms, ..Self::fresh(segment.with_max_doc(ids.len() as u32), ids)? })
    }

    /// Merges the living documents of `parts`, in order, into a new segment.
    pub(super) fn merge(
        index: &Index,
        directory: &Directory,
        id: SegmentId,
        parts: &[&Self],
    ) -> Result<Self, Failure> {
        let scratch = Directory::new("");
        let segments: Vec<_> = parts.iter().map(|part| part.segment.clone()).collect();
        let filters = parts.iter().map(|part| Some(part.alive_set())).collect();
        merge_filtered_segments(&segments, settings(), filters, scratch.clone())?;
        // Tantivy draws the id of a merged segment at random: the files get the one we name.
        for (file, bytes) in scratch.files() {
            let extension = file.split_once('.').map_or("", |(_, extension)| extension);
            directory.write(&format!("{}.{extension}", id.uuid_string()), bytes);
        }
        let ids: Vec<_> = parts.iter().flat_map(|part| part.living().map(|(_, id)| id.clone())).collect();
        let mut merged = Self::fresh(index.segment(index.new_segment_meta(id, ids.len() as u32)), ids)?;
        merged.measure()?;
        Ok(merged)
    }

    // Lengths are not stored: they follow from the documents, dead ones included.
    fn measure(&mut self) -> Result<(), Failure> {
        let fields = Fields::shared();
        for (doc, document) in (0..).zip(self.store.iter::<TantivyDocument>(None)) {
            let stored = fields.stored(&document?)?;
            norms::add(&mut self.norms, doc, &Mapped::of(&stored.source).lengths);
        }
        Ok(())
    }

    fn fresh(segment: tantivy::index::Segment, ids: Vec<Arc<str>>) -> Result<Self, Failure> {
        let reader = SegmentReader::open(&segment)?;
        let store = Arc::new(reader.get_store_reader(STORE_CACHE_BLOCKS)?);
        let alive = BitSet::with_max_value_and_full(reader.max_doc());
        Ok(Self { segment, reader, store, norms: BTreeMap::new(), ids, alive, deletes: None })
    }

    /// Opens a segment of a commit; its documents come along, by number.
    pub(super) fn open(
        index: &Index,
        fields: &Fields,
        id: SegmentId,
        max_doc: u32,
        deletes: Option<Deletes>,
    ) -> Result<(Self, Vec<(DocId, Stored)>), Failure> {
        let mut segment = Self::fresh(index.segment(index.new_segment_meta(id, max_doc)), Vec::new())?;
        segment.deletes = deletes;
        segment.load_deletes()?;
        let mut documents = Vec::new();
        for (doc, document) in (0..).zip(segment.store.iter::<TantivyDocument>(None)) {
            let stored = fields.stored(&document?)?;
            norms::add(&mut segment.norms, doc, &Mapped::of(&stored.source).lengths);
            segment.ids.push(stored.id.as_str().into());
            documents.push((doc, stored));
        }
        documents.retain(|(doc, _)| segment.is_alive(*doc));
        Ok((segment, documents))
    }

    fn load_deletes(&mut self) -> Result<(), Failure> {
        if self.deletes.is_none() {
            return Ok(());
        }
        let meta = self.meta();
        let file = self.segment.index().segment(meta).open_read(SegmentComponent::Delete)?;
        let alive = AliveBitSet::open(file.read_bytes()?);
        self.alive = BitSet::with_max_value(self.reader.max_doc());
        alive.iter_alive().for_each(|doc| {
            self.alive.insert(doc);
        });
        Ok(())
    }

    /// Writes the deletes that no file holds yet, if there are any; `opstamp` must be new.
    pub(super) fn write_deletes(&mut self, opstamp: u64) -> Result<(), Failure> {
        let count = self.reader.max_doc() - self.alive.len() as u32;
        if count == self.deletes.map_or(0, |deletes| deletes.count) {
            return Ok(());
        }
        self.deletes = Some(Deletes { count, opstamp });
        let mut file = self.segment.index().segment(self.meta()).open_write(SegmentComponent::Delete)?;
        write_alive_bitset(&self.alive, &mut file)?;
        tantivy::directory::TerminatingWrite::terminate(file)?;
        Ok(())
    }

    /// The segment as a commit names it.
    pub(super) fn meta(&self) -> SegmentMeta {
        let meta = self.segment.meta().clone();
        match self.deletes {
            Some(deletes) => meta.with_delete_meta(deletes.count, deletes.opstamp),
            None => meta,
        }
    }

    /// The files that [`Self::meta`] needs.
    pub(super) fn files(&self) -> Vec<String> {
        use SegmentComponent as C;
        let meta = self.meta();
        let mut parts = vec![C::Postings, C::Positions, C::FastFields, C::FieldNorms, C::Terms, C::Store];
        if self.deletes.is_some() {
            parts.push(C::Delete);
        }
        parts.into_iter().map(|part| meta.relative_path(part).to_string_lossy().into_owned()).collect()
    }

    /// A document's stored fields.
    pub(super) fn stored(&self, fields: &Fields, doc: DocId) -> Result<Stored, Failure> {
        fields.stored(&self.store.get(doc)?)
    }

    /// Marks a document as dead.
    pub(super) fn delete(&mut self, doc: DocId) {
        self.alive.remove(doc);
    }

    /// Whether a document is alive.
    pub(super) fn is_alive(&self, doc: DocId) -> bool {
        self.alive.contains(doc)
    }

    /// How many documents are alive.
    pub(super) fn living_count(&self) -> usize {
        self.alive.len()
    }

    /// The living documents, by number.
    pub(super) fn living(&self) -> impl Iterator<Item = (DocId, &Arc<str>)> {
        (0..).zip(&self.ids).filter(|(doc, _)| self.is_alive(*doc))
    }

    fn alive_set(&self) -> AliveBitSet {
        let mut bytes = Vec::new();
        self.alive.serialize(&mut bytes).expect("a vector takes every byte");
        AliveBitSet::open(OwnedBytes::new(bytes))
    }
}

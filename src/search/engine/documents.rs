//! Documents — decides what an index says of one document, searchable or not. It never searches.

use super::{Engine, Failure, Place, Version, schema::Stored};
use crate::search::api::GotDoc;

impl Engine {
    /// The document as of the last operation, searchable or not.
    ///
    /// # Errors
    ///
    /// If its segment cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<GotDoc>, Failure> {
        let Some(version) = self.versions.get(id) else { return Ok(None) };
        let (source, routing) = match &version.place {
            Place::Pending(doc) => (doc.source.clone(), doc.routing.clone()),
            Place::Segment { segment, doc } => {
                let stored = self.segments[segment].stored(&self.fields, *doc)?;
                (stored.source.into(), stored.routing.map(Into::into))
            }
            Place::Nowhere => return Ok(None),
        };
        let Version { seq_no, term, version, .. } = *version;
        Ok(Some(GotDoc { source, routing, seq_no, term, version }))
    }

    /// The document as of the last refresh.
    ///
    /// # Errors
    ///
    /// If its segment cannot be read.
    pub fn get_searchable(&self, id: &str) -> Result<Option<GotDoc>, Failure> {
        for segment in self.segments.values() {
            let mut living = segment.living();
            if let Some((doc, _)) = living.find(|(_, held)| held.as_ref() == id) {
                let Stored { source, routing, seq_no, term, version, .. } =
                    segment.stored(&self.fields, doc)?;
                let (source, routing) = (source.into(), routing.map(Into::into));
                return Ok(Some(GotDoc { source, routing, seq_no, term, version }));
            }
        }
        Ok(None)
    }
}

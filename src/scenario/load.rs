//! Load — decides which kinds of writes and gets a workload can be made of, and how often each is asked. It never asks.

use serde::{Deserialize, Serialize};

/// How often a workload's writes are of which kind: weights, of which only the proportions count. Deletes have a
/// share of their own, `delete_ratio`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriteMix {
    /// Index, whatever was there. Default 1.
    pub index: f64,
    /// Index only if there is no such document (`op_type=create`). Default 0.
    pub create: f64,
    /// Get, change, and index only if nobody else has (`if_seq_no`, `if_primary_term`). Default 0.
    pub cas: f64,
    /// Index with a version of the client's own, mostly a higher one (`version_type=external`, on documents that
    /// are written in no other way). Default 0.
    pub external: f64,
    /// The same with `version_type=external_gte`. Default 0.
    pub external_gte: f64,
}

impl Default for WriteMix {
    fn default() -> Self {
        Self { index: 1.0, create: 0.0, cas: 0.0, external: 0.0, external_gte: 0.0 }
    }
}

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the mix defines them")]
pub enum WriteKind {
    Index,
    Create,
    Cas,
    External,
    ExternalGte,
}

impl WriteMix {
    /// Whether it is the usual one.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Every weight with its key and kind.
    pub fn weights(&self) -> [(&'static str, WriteKind, f64); 5] {
        [
            ("index", WriteKind::Index, self.index),
            ("create", WriteKind::Create, self.create),
            ("cas", WriteKind::Cas, self.cas),
            ("external", WriteKind::External, self.external),
            ("external_gte", WriteKind::ExternalGte, self.external_gte),
        ]
    }

    /// The kind at this point of the whole, 0 to 1.
    pub fn kind_at(&self, point: f64) -> WriteKind {
        let weights = self.weights();
        let mut left = point * weights.iter().map(|(_, _, weight)| weight).sum::<f64>();
        let found = weights.iter().find(|(_, _, weight)| {
            left -= weight;
            left < 0.0
        });
        found.map_or(WriteKind::Index, |(_, kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_shares_of_the_whole() {
        let mix = WriteMix { index: 1.0, cas: 2.0, external_gte: 1.0, ..WriteMix::default() };
        let drawn = [0.0, 0.2, 0.3, 0.7, 0.8, 0.99].map(|point| mix.kind_at(point));
        use WriteKind::{Cas, ExternalGte, Index};
        assert_eq!(drawn, [Index, Index, Cas, Cas, ExternalGte, ExternalGte]);
    }
}

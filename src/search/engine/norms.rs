//! Norms — decides how long a document's field counts in scores. It never scores.
//!
//! As Lucene, which keeps a length in one byte (`SmallFloat.intToByte4`): exact below 40, with three
//! significant bits above. The sums over all documents are exact.

use std::collections::BTreeMap;

use crate::search::query::FieldSize;

/// Lengths that are kept exactly beside those of four bits.
const FREE: u32 = 24;

/// Lengths of one field.
#[derive(Debug, Clone, Default)]
pub(super) struct Norms {
    codes: Vec<u8>,
    pub(super) size: FieldSize,
}

impl Norms {
    /// Adds the length of a document.
    fn set(&mut self, doc: u32, length: u32) {
        self.codes.resize(doc as usize + 1, 0);
        self.codes[doc as usize] = encode(length);
        self.size.docs += 1;
        self.size.words += u64::from(length);
    }

    /// The length that counts; 0 if the document has no word in the field.
    pub(super) fn length(&self, doc: u32) -> u32 {
        self.codes.get(doc as usize).map_or(0, |code| decode(*code))
    }

    /// Whether the document has a word in the field.
    pub(super) fn has(&self, doc: u32) -> bool {
        self.codes.get(doc as usize).is_some_and(|code| *code > 0)
    }
}

/// Takes up the lengths of document `doc`; documents come in order.
pub(super) fn add(norms: &mut BTreeMap<String, Norms>, doc: u32, lengths: &BTreeMap<String, u32>) {
    for (field, length) in lengths {
        if !norms.contains_key(field) {
            norms.insert(field.clone(), Norms::default());
        }
        if let Some(norms) = norms.get_mut(field) {
            norms.set(doc, *length);
        }
    }
}

fn encode(length: u32) -> u8 {
    if length < FREE {
        return length as u8;
    }
    let rest = length.min(i32::MAX as u32) - FREE;
    let bits = 32 - rest.leading_zeros();
    let four = if bits < 4 {
        rest
    } else {
        let shift = bits - 4;
        ((rest >> shift) & 7) | ((shift + 1) << 3)
    };
    (FREE + four) as u8
}

fn decode(code: u8) -> u32 {
    let code = u32::from(code);
    if code < FREE {
        return code;
    }
    let four = code - FREE;
    let (bits, shift) = (four & 7, four >> 3);
    FREE + if shift == 0 { bits } else { (bits | 8) << (shift - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_below_forty_are_exact_and_longer_ones_are_rounded_down() {
        for length in 0..40 {
            assert_eq!(decode(encode(length)), length);
        }
        for length in [41, 57, 100, 1_000, 65_535, i32::MAX as u32] {
            let kept = decode(encode(length));
            assert!(kept <= length && kept > length - length / 8, "{length} {kept}");
        }
        assert_eq!([decode(encode(41)), decode(encode(55)), decode(encode(1_000))], [40, 54, 984]);
    }

    #[test]
    fn sums_are_exact() {
        let mut norms = BTreeMap::new();
        add(&mut norms, 0, &[("a".to_owned(), 41)].into());
        add(&mut norms, 2, &[("a".to_owned(), 1)].into());
        assert_eq!(norms["a"].size, FieldSize { docs: 2, words: 42 });
        assert_eq!([0, 1, 2, 3].map(|doc| norms["a"].length(doc)), [40, 0, 1, 0]);
    }
}

//! Columns — decides which documents of a segment have a value that is wanted: keywords, dates, numbers, booleans. It
//! never looks at text.

use std::cmp::Ordering;

use tantivy::{
    DocId,
    columnar::{Column, DynamicColumn},
};

use super::{Failure, schema::VALUES, segment::Segment};
use crate::search::query::{Bound, SortValue, Value};

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Keyword(&'a str),
    Long(i64),
    Double(f64),
    Bool(bool),
    /// In milliseconds since 1970.
    Date(i64),
}

impl Scalar<'_> {
    /// How it compares with a wanted value; nothing if they are of kinds that do not compare.
    pub(super) fn compare(self, wanted: &Value) -> Option<Ordering> {
        match (self, wanted) {
            (Self::Keyword(ours), wanted) => Some(ours.cmp(&wanted.text())),
            (Self::Long(ours), Value::Long(wanted)) => Some(ours.cmp(wanted)),
            (Self::Long(ours), wanted) => (ours as f64).partial_cmp(&wanted.number()?),
            (Self::Double(ours), wanted) => ours.partial_cmp(&wanted.number()?),
            (Self::Bool(ours), wanted) => Some(ours.cmp(&wanted.bool()?)),
            (Self::Date(ours), wanted) => Some(ours.cmp(&wanted.moment()?)),
        }
    }

    /// Whether it lies between these ends.
    pub(super) fn is_within(self, from: Option<&Bound>, to: Option<&Bound>) -> bool {
        let is_in = |bound: Option<&Bound>, side: Ordering| match bound {
            None => true,
            Some(bound) => match self.compare(&bound.value) {
                Some(Ordering::Equal) => bound.inclusive,
                order => order == Some(side),
            },
        };
        is_in(from, Ordering::Greater) && is_in(to, Ordering::Less)
    }

    /// As hits are compared by it.
    pub(super) fn sort_value(self) -> SortValue {
        match self {
            Self::Keyword(text) => SortValue::Text(text.to_owned()),
            Self::Long(number) | Self::Date(number) => SortValue::Long(number),
            Self::Double(number) => SortValue::Double(number),
            Self::Bool(value) => SortValue::Long(value.into()),
        }
    }
}

/// Which values of a field are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Keywords,
    Others,
}

/// Shows each value of the field, with its document, to `take`; by document within each type.
pub(super) fn each(
    segment: &Segment,
    field: &str,
    kind: Kind,
    mut take: impl FnMut(DocId, Scalar<'_>),
) -> Result<(), Failure> {
    let docs = segment.reader.max_doc();
    for handle in segment.reader.fast_fields().dynamic_column_handles(&format!("{VALUES}.{field}"))? {
        match (handle.open()?, kind) {
            (DynamicColumn::Str(column), Kind::Keywords) => {
                let mut words = Vec::with_capacity(column.num_terms());
                for number in 0..column.num_terms() as u64 {
                    let mut word = String::new();
                    column.ord_to_str(number, &mut word)?;
                    words.push(word);
                }
                for doc in 0..docs {
                    column
                        .term_ords(doc)
                        .for_each(|number| take(doc, Scalar::Keyword(&words[number as usize])));
                }
            }
            (DynamicColumn::I64(column), Kind::Others) => {
                each_of(&column, docs, |doc, n| take(doc, Scalar::Long(n)))
            }
            // Whole numbers that fit are `long`; tantivy's unsigned column has them all the same.
            (DynamicColumn::U64(column), Kind::Others) => each_of(&column, docs, |doc, number: u64| {
                let scalar = i64::try_from(number).map_or(Scalar::Double(number as f64), Scalar::Long);
                take(doc, scalar);
            }),
            (DynamicColumn::F64(column), Kind::Others) => {
                each_of(&column, docs, |doc, n| take(doc, Scalar::Double(n)))
            }
            (DynamicColumn::DateTime(column), Kind::Others) => {
                each_of(&column, docs, |doc, date| take(doc, Scalar::Date(date.into_timestamp_millis())))
            }
            (DynamicColumn::Bool(column), Kind::Others) => {
                each_of(&column, docs, |doc, v| take(doc, Scalar::Bool(v)))
            }
            _ => {}
        }
    }
    Ok(())
}

fn each_of<T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static>(
    column: &Column<T>,
    docs: DocId,
    mut take: impl FnMut(DocId, T),
) {
    for doc in 0..docs {
        column.values_for_doc(doc).for_each(|value| take(doc, value));
    }
}

/// Documents with a value that is wanted, by number.
pub(super) fn find(
    segment: &Segment,
    field: &str,
    kind: Kind,
    is_wanted: impl Fn(Scalar<'_>) -> bool,
) -> Result<Vec<DocId>, Failure> {
    let mut found = Vec::new();
    each(segment, field, kind, |doc, value| {
        if is_wanted(value) {
            found.push(doc);
        }
    })?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Documents with any value in the field or in one below it.
pub(super) fn with_any(segment: &Segment, field: &str) -> Result<Vec<DocId>, Failure> {
    let (columns, path) = (segment.reader.fast_fields(), format!("{VALUES}.{field}"));
    let mut handles = columns.dynamic_column_handles(&path)?;
    handles.extend(columns.dynamic_subpath_column_handles(&path)?);
    let mut found = Vec::new();
    for handle in handles {
        if let Some(column) = handle.open_u64_lenient()? {
            found.extend((0..segment.reader.max_doc()).filter(|doc| column.first(*doc).is_some()));
        }
    }
    let below = format!("{field}.");
    let texts = segment.norms.iter().filter(|(name, _)| *name == field || name.starts_with(&below));
    for (_, norms) in texts {
        found.extend((0..segment.reader.max_doc()).filter(|doc| norms.has(*doc)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

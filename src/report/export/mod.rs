//! Exports: a record in the forms of other tools.

pub mod perfetto;
pub mod shiviz;

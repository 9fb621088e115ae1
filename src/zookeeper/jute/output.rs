//! Output — decides how values are written into a record. It never reads one.

use crate::zookeeper::wire::{AclEntry, Stat};

/// A frame in the making: begins with room for its length.
#[derive(Debug)]
pub(super) struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Output<'a> {
    /// Begins a frame behind what is there.
    pub(super) fn begin(bytes: &'a mut Vec<u8>) -> Self {
        let start = bytes.len();
        bytes.extend([0; 4]);
        Self { bytes, start }
    }

    /// Writes the length.
    pub(super) fn end(self) {
        let length = self.bytes.len() - self.start - 4;
        let length = i32::try_from(length).expect("a frame is shorter than 2 GB");
        self.bytes[self.start..][..4].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.bytes.push(value.into());
        self
    }

    pub(super) fn int(&mut self, value: i32) -> &mut Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub(super) fn long(&mut self, value: i64) -> &mut Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub(super) fn buffer(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            None => self.int(-1),
            Some(bytes) => {
                self.count(bytes.len());
                self.bytes.extend(bytes);
                self
            }
        }
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.buffer(Some(value.as_bytes()))
    }

    pub(super) fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        self.buffer(value.map(str::as_bytes))
    }

    /// How many items follow.
    pub(super) fn count(&mut self, items: usize) -> &mut Self {
        self.int(i32::try_from(items).expect("a record is shorter than 2 GB"))
    }

    pub(super) fn texts(&mut self, values: &[String]) -> &mut Self {
        self.count(values.len());
        for value in values {
            self.text(value);
        }
        self
    }

    pub(super) fn acl(&mut self, entries: &[AclEntry]) -> &mut Self {
        self.count(entries.len());
        for AclEntry { perms, id } in entries {
            self.int(*perms).text(&id.scheme).text(&id.id);
        }
        self
    }

    pub(super) fn stat(&mut self, stat: &Stat) -> &mut Self {
        self.long(stat.czxid.0 as i64).long(stat.mzxid.0 as i64);
        self.long(stat.ctime).long(stat.mtime);
        self.int(stat.version).int(stat.cversion).int(stat.aversion);
        self.long(stat.ephemeral_owner.0 as i64);
        self.int(stat.data_length).int(stat.num_children);
        self.long(stat.pzxid.0 as i64)
    }

    /// `MultiHeader`: what follows, whether it is the end, and with which error.
    pub(super) fn multi_header(&mut self, kind: i32, is_end: bool, error: i32) -> &mut Self {
        self.int(kind).bool(is_end).int(error)
    }
}

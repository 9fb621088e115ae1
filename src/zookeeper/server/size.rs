//! Size — decides how long a request is on the wire. It never writes one.
//!
//! Numbers are those of jute: 4 bytes before every text, buffer and list, 4 for a number, 1 for a flag.

use crate::zookeeper::wire::{Acl, CreateMode, Data, Op};

/// xid and op code.
const HEADER: usize = 8;

/// Whether a request is too long for a frame of at most this many bytes. Only what carries data, lists or
/// many paths can be.
pub(super) fn is_too_long(op: &Op, max_buffer: u32) -> bool {
    let body = match op {
        Op::Multi(ops) => ops.iter().map(in_multi).sum::<usize>() + DONE,
        Op::SetWatches { data, exist, child, persistent, recursive, .. } => {
            let lists = [data, exist, child, persistent, recursive];
            8 + lists
                .iter()
                .map(|paths| 4 + paths.iter().map(|path| text(path)).sum::<usize>())
                .sum::<usize>()
        }
        Op::MultiRead(ops) => ops.iter().map(in_multi).sum::<usize>() + DONE,
        Op::Auth { scheme, credential } => 4 + text(scheme) + 4 + credential.len(),
        op => single(op),
    };
    HEADER + body > max_buffer as usize
}

/// Op code, end mark and error before each operation of a multi; once more at the end.
const DONE: usize = 9;

fn in_multi(op: &Op) -> usize {
    DONE + single(op)
}

fn single(op: &Op) -> usize {
    let path = text(op.path());
    match op {
        Op::Create { data, acl, mode, .. } => {
            let ttl =
                matches!(mode, CreateMode::PersistentTtl { .. } | CreateMode::PersistentSequentialTtl { .. });
            path + buffer(data) + list(acl) + 4 + if ttl { 8 } else { 0 }
        }
        Op::SetData { data, .. } => path + buffer(data) + 4,
        Op::SetAcl { acl, .. } => path + list(acl) + 4,
        Op::GetEphemerals { prefix } => text(prefix),
        _ => path + 4,
    }
}

fn text(text: &str) -> usize {
    4 + text.len()
}

fn buffer(data: &Data) -> usize {
    4 + data.as_ref().map_or(0, |data| data.len())
}

fn list(acl: &Acl) -> usize {
    4 + acl.iter().map(|entry| 4 + text(&entry.id.scheme) + text(&entry.id.id)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(bytes: usize) -> Op {
        Op::SetData { path: "/d".into(), data: Some(vec![0; bytes].into()), version: -1 }
    }

    /// The recording `data_size_limit` of a 3.8.0 server: a million bytes fit, 1 MB with its header does not.
    #[test]
    fn frame_is_bounded_with_header_path_and_version() {
        let max = 0xf_ffff;
        assert!(!is_too_long(&set(1_000_000), max));
        assert!(is_too_long(&set(1_048_576), max));
        let rest = 8 + (4 + 2) + 4 + 4;
        assert!(!is_too_long(&set(max as usize - rest), max));
        assert!(is_too_long(&set(max as usize - rest + 1), max));
    }

    #[test]
    fn parts_of_a_multi_add_up() {
        let max = 0xf_ffff;
        assert!(!is_too_long(&Op::Multi(vec![set(500_000); 2]), max));
        assert!(is_too_long(&Op::Multi(vec![set(500_000); 3]), max));
    }
}

//! Layout — decides what the files of a copy are called. It never reads one.
//!
//! `shards/<index>/<number>/<allocation>/state` says that the copy exists and which folder is its own;
//! `…/<folder>/index/` holds the segments, `…/<folder>/translog.<generation>` the operations. A recovery by
//! files fills another folder, so that the switch is one atomic write of `state`.

use crate::name::{AllocationId, ShardId};

/// Where everything of a copy is.
pub fn copy_prefix(shard: &ShardId, allocation: AllocationId) -> String {
    format!("shards/{}/{}/{:016x}/", shard.index, shard.number, allocation.0)
}

/// Where one folder of a copy is.
pub fn folder_prefix(shard: &ShardId, allocation: AllocationId, folder: u32) -> String {
    format!("{}{folder}/", copy_prefix(shard, allocation))
}

/// The file that says that a copy exists.
pub fn state_file(shard: &ShardId, allocation: AllocationId) -> String {
    format!("{}state", copy_prefix(shard, allocation))
}

/// Which copy a file belongs to, if any.
pub fn owner(file: &str) -> Option<(ShardId, AllocationId)> {
    let rest = file.strip_prefix("shards/")?;
    let parts: Vec<&str> = rest.split('/').collect();
    // An index may be called anything: the parts behind its name are told by their form.
    (1..parts.len().saturating_sub(2)).find_map(|at| {
        let number = parts[at].parse().ok()?;
        let allocation = parts[at + 1];
        let allocation = (allocation.len() == 16).then(|| u64::from_str_radix(allocation, 16).ok())??;
        let index: &str = &parts[..at].join("/");
        Some((ShardId { index: index.into(), number }, AllocationId(allocation)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_copy() {
        for name in ["articles", "odd/name", "7"] {
            let shard = ShardId { index: name.into(), number: 3 };
            let allocation = AllocationId(0x1_0000_0002);
            let wanted = Some((shard.clone(), allocation));
            assert_eq!(owner(&state_file(&shard, allocation)), wanted);
            let folder = folder_prefix(&shard, allocation, 0);
            assert_eq!(owner(&format!("{folder}index/a.idx")), wanted);
            assert_eq!(owner(&format!("{folder}translog.4")), wanted);
        }
        assert_eq!(owner("zookeeper/log.1"), None);
        assert_eq!(owner("shards/x"), None);
    }
}

//! Routing — decides which shard a document belongs to, and which copies are asked in which order. It never
//! sends anything.

pub mod adaptive;
pub mod preference;

use std::collections::{BTreeMap, VecDeque};

use crate::{
    name::{HostId, IndexName, ShardId},
    search::state::{IndexMetadata, ShardCopy, ShardTable},
};

/// The hash of a document's routing value: murmur3 x86 32-bit, seed 0, over the UTF-16LE bytes
/// (Elasticsearch's `Murmur3HashFunction`).
pub fn hash(routing: &str) -> i32 {
    let bytes: Vec<u8> = routing.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hash = murmur3::murmur3_32(&mut bytes.as_slice(), 0);
    hash.expect("reading from memory does not fail").cast_signed()
}

/// The shard of a document: `floorMod(hash, routing_shards) / (routing_shards / shards)`
/// (Elasticsearch's `IndexRouting`, as before its modulo routing).
///
/// # Panics
///
/// If `shards` is 0 or does not divide `routing_shards`: index creation refuses both.
pub fn shard_number(id: &str, routing_shards: u32, shards: u32) -> u32 {
    assert!(
        shards > 0 && routing_shards.is_multiple_of(shards),
        "the number of shards divides the number of routing shards"
    );
    let slot = i64::from(hash(id)).rem_euclid(i64::from(routing_shards));
    slot as u32 / (routing_shards / shards)
}

/// The shard of a document in an index.
pub fn shard_of(index: &IndexName, metadata: &IndexMetadata, id: &str) -> ShardId {
    let number = shard_number(id, metadata.routing_shards, metadata.shards.len() as u32);
    ShardId { index: index.clone(), number }
}

/// The primary that serves, if any, with its node: where writes go.
pub fn active_primary(table: &ShardTable) -> Option<(&ShardCopy, HostId)> {
    let primary = table.active().find(|copy| copy.primary)?;
    Some((primary, primary.node?))
}

/// Takes turns among the copies of each shard (Elasticsearch's `IndexShardRoutingTable` without adaptive
/// replica selection).
#[derive(Debug, Default)]
pub struct Rotation {
    first: usize,
    turns: BTreeMap<ShardId, usize>,
}

impl Rotation {
    /// Begins each shard's turns at its copy number `first`, so that not every node begins with the same.
    pub fn starting_at(first: usize) -> Self {
        Self { first, turns: BTreeMap::new() }
    }

    /// The nodes whose active copies may be asked, the one whose turn it is first; if one fails, the next
    /// in the list is asked. Initializing copies are never asked.
    pub fn order(&mut self, shard: &ShardId, table: &ShardTable) -> VecDeque<HostId> {
        let mut nodes: VecDeque<HostId> = table.active().filter_map(|copy| copy.node).collect();
        let turn = self.turns.entry(shard.clone()).or_insert(self.first);
        if !nodes.is_empty() {
            nodes.rotate_left(*turn % nodes.len());
        }
        *turn = turn.wrapping_add(1);
        nodes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        event::CopyState,
        search::fixture::{copy, table},
    };

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/vectors/routing_hash.json")).unwrap()
    }

    fn rows(vectors: &Value, family: &str) -> Vec<Value> {
        let rows = vectors[family]["rows"].as_array().unwrap().clone();
        assert!(!rows.is_empty(), "{family} has vectors");
        rows
    }

    #[test]
    fn hash_is_elasticsearchs() {
        let vectors = vectors();
        for row in rows(&vectors, "murmur3").iter().chain(&rows(&vectors, "computed")) {
            assert_eq!(i64::from(hash(row[0].as_str().unwrap())), row[1], "{row}");
        }
    }

    #[test]
    fn shard_is_elasticsearchs() {
        for row in rows(&vectors(), "shard_8") {
            assert_eq!(shard_number(row[0].as_str().unwrap(), 8, 8), row[1], "{row}");
        }
    }

    #[test]
    fn shard_of_a_splittable_index_divides_the_slot() {
        for row in rows(&vectors(), "split") {
            let [routing_shards, shards] = [&row[1], &row[2]].map(|n| n.as_u64().unwrap() as u32);
            assert_eq!(shard_number(row[0].as_str().unwrap(), routing_shards, shards), row[3], "{row}");
        }
    }

    #[test]
    fn negative_hash_is_taken_modulo_upwards() {
        for row in rows(&vectors(), "computed") {
            for (shards, expected) in row[2].as_object().unwrap() {
                let shards = shards.parse().unwrap();
                assert_eq!(shard_number(row[0].as_str().unwrap(), shards, shards), *expected, "{row}");
            }
        }
    }

    fn shard() -> ShardId {
        "articles/0".parse().unwrap()
    }

    #[test]
    fn active_copies_take_turns() {
        let table = table(vec![
            copy(1, 11, true, CopyState::Started),
            copy(2, 12, false, CopyState::Relocating),
            copy(3, 13, false, CopyState::Started),
        ]);
        let mut rotation = Rotation::starting_at(1);
        let mut next = || Vec::from(rotation.order(&shard(), &table)).iter().map(|n| n.number).collect();
        let turns: [Vec<u16>; 4] = [next(), next(), next(), next()];
        assert_eq!(turns, [vec![2, 3, 1], vec![3, 1, 2], vec![1, 2, 3], vec![2, 3, 1]]);
    }

    #[test]
    fn shards_take_turns_apart() {
        let table =
            table(vec![copy(1, 11, true, CopyState::Started), copy(2, 12, false, CopyState::Started)]);
        let other: ShardId = "articles/1".parse().unwrap();
        let mut rotation = Rotation::default();
        for _ in 0..3 {
            assert_eq!(rotation.order(&shard(), &table), rotation.order(&other, &table));
        }
    }

    #[test]
    fn initializing_copies_are_not_asked() {
        let table = table(vec![
            copy(1, 11, true, CopyState::Initializing),
            copy(2, 12, false, CopyState::Started),
            ShardCopy { node: None, ..copy(3, 13, false, CopyState::Unassigned) },
        ]);
        let mut rotation = Rotation::default();
        for _ in 0..3 {
            assert_eq!(rotation.order(&shard(), &table), [HostId::search(2)]);
        }
    }

    #[test]
    fn primary_that_initializes_takes_no_writes() {
        let booting = table(vec![copy(1, 11, true, CopyState::Initializing)]);
        assert_eq!(active_primary(&booting), None);
        let moving =
            table(vec![copy(2, 12, true, CopyState::Initializing), copy(1, 11, true, CopyState::Relocating)]);
        assert_eq!(active_primary(&moving).unwrap().1, HostId::search(1));
    }
}

//! Preference — decides which copies of a shard a search may ask and in which order, where the client has said
//! so. It never sends anything.

use std::collections::{BTreeSet, VecDeque};

use super::hash;
use crate::{name::HostId, search::api::ApiError};

/// `preference` of a search (`OperationRouting.preferenceActiveShardIterator`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preference {
    /// Only these shards; none: all.
    shards: Option<BTreeSet<u32>>,
    copies: Copies,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Copies {
    /// Any, as the coordinating node finds best.
    #[default]
    Any,
    /// These nodes first.
    PreferNodes(Vec<String>),
    /// The coordinating node first.
    Local,
    /// The coordinating node and no other.
    OnlyLocal,
    /// These nodes and no others.
    OnlyNodes(Vec<String>),
    /// In an order that follows from this string, always the same one.
    Custom(String),
}

impl Preference {
    /// Reads a preference.
    ///
    /// # Errors
    ///
    /// If it begins with `_` and is none that Elasticsearch knows.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text.strip_prefix("_shards:") {
            None => Ok(Self { shards: None, copies: copies(text)? }),
            Some(rest) => {
                let (numbers, more) = rest.split_once('|').unwrap_or((rest, ""));
                let number = |text: &str| {
                    let bad = |_| {
                        ApiError::new(400, "number_format_exception", format!("For input string: \"{text}\""))
                    };
                    text.trim().parse().map_err(bad)
                };
                let shards = numbers.split(',').map(number).collect::<Result<_, _>>()?;
                Ok(Self { shards: Some(shards), copies: copies(more)? })
            }
        }
    }

    /// Whether this shard is searched at all.
    pub fn includes(&self, shard: u32) -> bool {
        self.shards.as_ref().is_none_or(|shards| shards.contains(&shard))
    }

    /// Whether any copy will do.
    pub fn is_open(&self) -> bool {
        self.copies == Copies::Any
    }

    /// The nodes to ask for the shard, of those that have an active copy; the coordinating node is `me`.
    ///
    /// # Errors
    ///
    /// If only nodes may be asked that have none.
    pub fn order(
        &self,
        shard: u32,
        me: HostId,
        active: VecDeque<HostId>,
    ) -> Result<VecDeque<HostId>, ApiError> {
        match &self.copies {
            Copies::Any => Ok(active),
            Copies::Local => Ok(first(active, |node| node == me)),
            Copies::OnlyLocal => Ok(active.into_iter().filter(|node| *node == me).collect()),
            Copies::PreferNodes(names) => Ok(first(active, |node| is_named(names, node))),
            Copies::OnlyNodes(names) => {
                let found: VecDeque<_> = active.into_iter().filter(|node| is_named(names, *node)).collect();
                if found.is_empty() {
                    let names = names.join(",");
                    let reason = format!("no data nodes with criteria [{names}] found for shard: [{shard}]");
                    return Err(ApiError::illegal(reason));
                }
                Ok(found)
            }
            Copies::Custom(text) => {
                let seed = hash(text).wrapping_mul(31).wrapping_add(shard.cast_signed());
                let mut active = active;
                if !active.is_empty() {
                    active.rotate_left(seed.rem_euclid(active.len() as i32) as usize);
                }
                Ok(active)
            }
        }
    }
}

fn copies(text: &str) -> Result<Copies, ApiError> {
    let names = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect();
    Ok(match text {
        "" => Copies::Any,
        "_local" => Copies::Local,
        "_only_local" => Copies::OnlyLocal,
        _ => {
            if let Some(nodes) = text.strip_prefix("_prefer_nodes:") {
                Copies::PreferNodes(names(nodes))
            } else if let Some(nodes) = text.strip_prefix("_only_nodes:") {
                Copies::OnlyNodes(names(nodes))
            } else if text.starts_with('_') {
                return Err(ApiError::illegal(format!("no Preference for [{text}]")));
            } else {
                Copies::Custom(text.to_owned())
            }
        }
    })
}

fn is_named(names: &[String], node: HostId) -> bool {
    let own = node.to_string();
    names.iter().any(|name| *name == own || name == "*")
}

fn first(nodes: VecDeque<HostId>, is_preferred: impl Fn(HostId) -> bool) -> VecDeque<HostId> {
    let (mut first, rest): (VecDeque<_>, VecDeque<_>) =
        nodes.into_iter().partition(|node| is_preferred(*node));
    first.extend(rest);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: HostId = HostId::search(2);

    fn order(preference: &str, shard: u32) -> Vec<u16> {
        let preference = Preference::parse(preference).unwrap();
        let active = [3, 1, 2].map(HostId::search).into();
        preference.order(shard, ME, active).unwrap().into_iter().map(|node| node.number).collect()
    }

    #[test]
    fn copies_come_as_preferred() {
        assert_eq!(order("", 0), [3, 1, 2]);
        assert_eq!(order("_local", 0), [2, 3, 1]);
        assert_eq!(order("_only_local", 0), [2]);
        assert_eq!(order("_prefer_nodes:search-1,search-9", 0), [1, 3, 2]);
        assert_eq!(order("_only_nodes:search-1", 0), [1]);
        assert_eq!(order("_shards:0,1|_local", 0), [2, 3, 1]);
    }

    #[test]
    fn custom_string_is_always_the_same_order() {
        let orders: BTreeSet<_> = (0..20).map(|n| order(&format!("user-{n}"), 0)).collect();
        assert_eq!(orders.len(), 3, "{orders:?}");
        assert_eq!(order("user-1", 7), order("user-1", 7));
        assert_ne!(order("user-1", 0), order("user-1", 1), "the shard's number turns it on");
    }

    #[test]
    fn only_named_shards_are_searched() {
        let preference = Preference::parse("_shards:0,2").unwrap();
        assert_eq!([0, 1, 2].map(|shard| preference.includes(shard)), [true, false, true]);
        assert!(preference.is_open());
    }

    #[test]
    fn malformed_preferences_are_refused() {
        let error = Preference::parse("_nearest").unwrap_err();
        assert_eq!((error.status, error.reason.as_str()), (400, "no Preference for [_nearest]"));
        assert_eq!(&*Preference::parse("_shards:a").unwrap_err().kind, "number_format_exception");
        let none = Preference::parse("_only_nodes:search-9").unwrap().order(0, ME, [ME].into());
        assert_eq!(none.unwrap_err().status, 400);
    }
}

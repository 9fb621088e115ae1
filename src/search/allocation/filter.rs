//! Filters — decides whether a node is one of those that a setting describes by name or attributes. It never
//! decides what becomes of a copy on it.
//!
//! Elasticsearch's `DiscoveryNodeFilters`: `_name`, `_id`, `_ip`, `_host` and attributes, values with commas
//! between and `*` in them.

use std::{collections::BTreeMap, fmt};

use crate::{
    name::HostId,
    search::{settings::Settings as Set, state::NodeEntry},
};

/// How many of its conditions a node has to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// One of them.
    Any,
    /// All of them.
    All,
}

/// A condition for each name, each with the values that meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    needed: Match,
    conditions: BTreeMap<String, Vec<String>>,
}

/// The three filters of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// A node must meet all of it.
    pub require: Option<Filter>,
    /// A node must meet some of it.
    pub include: Option<Filter>,
    /// A node must meet none of it.
    pub exclude: Option<Filter>,
}

impl Filters {
    /// Those that are set below this name.
    pub fn of(set: &Set, area: &str) -> Self {
        let filter = |kind: &str, needed| Filter::of(set, &format!("{area}.{kind}."), needed);
        Self {
            require: filter("require", Match::All),
            include: filter("include", Match::Any),
            exclude: filter("exclude", Match::Any),
        }
    }
}

impl Filter {
    /// What is set below this prefix; none, if nothing is. An empty value is none.
    pub fn of(set: &Set, prefix: &str, needed: Match) -> Option<Self> {
        let words = |values: &str| {
            let words = values.split(',').map(|value| value.trim().to_owned());
            words.filter(|value| !value.is_empty()).collect::<Vec<_>>()
        };
        let conditions = set.below(prefix).map(|(name, values)| (name.to_owned(), words(values)));
        let conditions: BTreeMap<_, _> = conditions.filter(|(_, values)| !values.is_empty()).collect();
        (!conditions.is_empty()).then_some(Self { needed, conditions })
    }

    /// Whether this node meets it.
    pub fn matches(&self, host: HostId, node: &NodeEntry) -> bool {
        let name = host.to_string();
        let mut met = self.conditions.iter().map(|(attribute, values)| {
            let value = match attribute.as_str() {
                "_name" | "_id" | "_ip" | "_host" | "_publish_ip" | "_host_ip" => Some(name.as_str()),
                attribute => node.attribute(attribute),
            };
            value.is_some_and(|value| values.iter().any(|pattern| is_like(pattern, value)))
        });
        match self.needed {
            Match::Any => met.any(|met| met),
            Match::All => met.all(|met| met),
        }
    }
}

/// As Elasticsearch writes it: `rack:"r1 OR r2",zone:"a"`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = match self.needed {
            Match::Any => " OR ",
            Match::All => " AND ",
        };
        let one = |(name, values): (&String, &Vec<String>)| format!("{name}:\"{}\"", values.join(" OR "));
        f.write_str(&self.conditions.iter().map(one).collect::<Vec<_>>().join(between))
    }
}

/// Whether a value is like a pattern in which each `*` stands for anything.
fn is_like(pattern: &str, value: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == value };
    let Some(value) = value.strip_prefix(first) else { return false };
    let starts = value.char_indices().map(|(at, _)| at).chain([value.len()]);
    starts.into_iter().any(|at| is_like(rest, &value[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SessionId;

    fn filter(needed: Match, pairs: &[(&str, &str)]) -> Option<Filter> {
        let set = pairs.iter().map(|(name, value)| (format!("x.{name}"), (*value).to_owned()));
        Filter::of(&Set(set.collect()), "x.", needed)
    }

    #[test]
    fn node_is_met_by_name_zone_and_attribute() {
        let node = NodeEntry {
            attributes: [("rack".to_owned(), "r12".to_owned())].into(),
            ..NodeEntry::new(SessionId(1), "a")
        };
        let meets =
            |needed, pairs: &[(&str, &str)]| filter(needed, pairs).unwrap().matches(HostId::search(7), &node);
        assert!(meets(Match::Any, &[("_name", "search-7")]) && meets(Match::Any, &[("_ip", "search-*")]));
        assert!(meets(Match::Any, &[("zone", "b,a")]) && !meets(Match::Any, &[("zone", "b")]));
        assert!(meets(Match::All, &[("rack", "r1*"), ("zone", "a")]));
        assert!(!meets(Match::All, &[("rack", "r1*"), ("zone", "b")]));
        assert!(meets(Match::Any, &[("rack", "r9"), ("zone", "a")]));
        assert!(!meets(Match::Any, &[("size", "*")]), "a node without the attribute meets nothing of it");
    }

    #[test]
    fn nothing_or_an_empty_value_is_no_filter() {
        assert_eq!(filter(Match::Any, &[]), None);
        assert_eq!(filter(Match::Any, &[("_name", "")]), None);
        assert_eq!(
            filter(Match::All, &[("zone", "a,b"), ("rack", "r")]).unwrap().to_string(),
            "rack:\"r\" AND zone:\"a OR b\""
        );
    }

    #[test]
    fn star_stands_for_anything() {
        for (pattern, value) in [("*", ""), ("a*", "a"), ("*b", "ab"), ("a*c*e", "abcde")] {
            assert!(is_like(pattern, value), "{pattern} {value}");
        }
        for (pattern, value) in [("", "a"), ("a*b", "ac"), ("a", "ab"), ("*x*", "ab")] {
            assert!(!is_like(pattern, value), "{pattern} {value}");
        }
    }
}

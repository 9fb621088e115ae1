//! Minimum — decides how many optional clauses must match (`minimum_should_match`). It never counts matches.

use super::json::{Json, Node};

/// `minimum_should_match`, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinimumShouldMatch(Spec);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Spec {
    /// So many; below zero: all but so many.
    Count(i64),
    /// Such a share, rounded down; below zero: all but such a share.
    Percent(i64),
    /// `n<spec`, sorted: with more than `n` clauses the spec of the greatest such `n` holds, with no more than the
    /// least `n` all must match.
    Steps(Vec<(i64, Spec)>),
}

impl MinimumShouldMatch {
    /// Exactly so many.
    pub fn count(count: i64) -> Self {
        Self(Spec::Count(count))
    }

    /// Reads it; nothing if it is malformed.
    pub(super) fn read(node: &Node) -> Option<Self> {
        match &node.json {
            Json::Long(count) => Some(Self::count(*count)),
            Json::Text(text) => Self::parse(text),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if !text.contains('<') {
            return simple(text).map(Self);
        }
        let step = |step: &str| {
            let (above, spec) = step.split_once('<')?;
            Some((above.trim().parse().ok()?, simple(spec)?))
        };
        text.split_whitespace().map(step).collect::<Option<_>>().map(|steps| Self(Spec::Steps(steps)))
    }

    /// How many of `clauses` must match; 0 to `clauses` (`Queries.calculateMinShouldMatch`).
    pub fn of(&self, clauses: usize) -> usize {
        let clauses = clauses as i64;
        let needed = self.0.of(clauses);
        needed.clamp(0, clauses.saturating_add(1)) as usize
    }
}

fn simple(text: &str) -> Option<Spec> {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().map(Spec::Percent),
        None => text.parse().ok().map(Spec::Count),
    }
}

impl Spec {
    fn of(&self, clauses: i64) -> i64 {
        match self {
            Self::Count(count) if *count < 0 => clauses.saturating_add(*count),
            Self::Count(count) => *count,
            Self::Percent(percent) => {
                let share = clauses.saturating_mul(*percent) / 100;
                if share < 0 { clauses.saturating_add(share) } else { share }
            }
            Self::Steps(steps) => {
                let met = steps.iter().take_while(|(above, _)| clauses > *above).last();
                met.map_or(clauses, |(_, spec)| spec.of(clauses))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_counted_as_elasticsearch_does() {
        let cases = [
            ("2", 5, 2),
            ("-1", 5, 4),
            ("75%", 5, 3),
            ("-25%", 5, 4),
            ("3<90%", 3, 3),
            ("3<90%", 10, 9),
            ("2<-25% 9<-3", 2, 2),
            ("2<-25% 9<-3", 8, 6),
            ("2<-25% 9<-3", 12, 9),
            ("-9", 2, 0),
            ("7", 2, 3),
        ];
        for (spec, clauses, wanted) in cases {
            assert_eq!(MinimumShouldMatch::parse(spec).unwrap().of(clauses), wanted, "{spec} of {clauses}");
        }
        assert_eq!(MinimumShouldMatch::parse("many"), None);
        assert_eq!(MinimumShouldMatch::parse("a<1"), None);
    }
}

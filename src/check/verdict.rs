//! Verdicts — decides how the judgement of a law can end. It never judges.

use serde::{Deserialize, Serialize};

use crate::{event::Event, name::SimTime};

/// How the judgement of one law ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It held at every step.
    Pass,
    /// It is broken.
    Fail {
        /// Position of the first event that shows it.
        seq: u64,
        /// When that was.
        at: SimTime,
        /// Why, in one or a few lines.
        why: String,
    },
    /// The checker's budget ran out; never to be shown as pass.
    Unknown {
        /// What ran out.
        budget: String,
    },
}

/// A law and how it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The law's name.
    pub law: String,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a monitor says of an event, or at the end: nothing (the law holds so far), or the verdict that
/// settles it.
pub type Judged = Result<(), Verdict>;

/// A place in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Point {
    /// Position of the event.
    pub seq: u64,
    /// Its time.
    pub at: SimTime,
}

impl From<&Event> for Point {
    fn from(event: &Event) -> Self {
        Self { seq: event.seq, at: event.at }
    }
}

/// The law is broken, and this place shows it.
pub fn broken(at: impl Into<Point>, why: impl Into<String>) -> Judged {
    let Point { seq, at } = at.into();
    Err(Verdict::Fail { seq, at, why: why.into() })
}

/// The law cannot be judged on this record.
pub fn undecided(budget: impl Into<String>) -> Judged {
    Err(Verdict::Unknown { budget: budget.into() })
}

/// A time as reports write it: `12.345 s`.
pub(super) fn clock(at: SimTime) -> String {
    format!("{:.3} s", at.seconds())
}

/// A list as reports write it: at most `most` items, then how many more.
pub(crate) fn listed(items: impl IntoIterator<Item = String>, most: usize) -> String {
    let items: Vec<_> = items.into_iter().collect();
    let shown = items.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_list_is_cut_and_counted() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(items.clone(), 3), "a, b, c");
        assert_eq!(listed(items, 1), "a and 2 more");
        assert_eq!(listed([], 1), "");
    }

    #[test]
    fn judgement_is_one_flat_object() {
        let verdict = Verdict::Fail { seq: 3, at: SimTime(5), why: "it broke".into() };
        let json = serde_json::to_value(Judgement { law: "a.b".into(), verdict }).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"law": "a.b", "verdict": "fail", "seq": 3, "at": 5, "why": "it broke"})
        );
    }
}

//! Verdicts — decides how the judgement of a law can end. It never judges.

use serde::{Deserialize, Serialize};

use crate::name::SimTime;

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

//! Recipe tables — decides what a scenario can say of clients that follow a recipe. It never says whether what
//! is written makes sense; [`check`](super::check) does.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::duration;

/// What a group of clients does together (`zookeeper::recipes`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// They elect a leader, who writes behind its fence and resigns now and then.
    #[default]
    Election,
    /// They register and watch each other; now and then one closes its session and comes back.
    Membership,
    /// They change one value by compare-and-set and apply what they see.
    Configuration,
    /// They publish notices on one topic and receive all of them.
    Notification,
}

/// `[[recipe_clients]]`: simulated clients that follow a recipe together, each on a host of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecipeClients {
    /// `election`, `membership`, `configuration` or `notification`. Default `election`.
    pub recipe: Recipe,
    /// How many. Default 3.
    pub count: u16,
    /// What each does of itself in a second, on average: writes as a leader, departures, changes, notices.
    /// Default 2.
    pub actions_per_second: f64,
    /// The session timeout they ask for; granted within 2 to 20 ticks. Default 4 s.
    #[serde(with = "duration::Span")]
    pub session_timeout: Duration,
    /// When they begin. Default with the run.
    #[serde(with = "duration::Span")]
    pub starts_at: Duration,
    /// Of notification: notices that are retained. Default 50.
    pub retained: u32,
}

impl Default for RecipeClients {
    fn default() -> Self {
        Self {
            recipe: Recipe::Election,
            count: 3,
            actions_per_second: 2.0,
            session_timeout: Duration::from_secs(4),
            starts_at: Duration::ZERO,
            retained: 50,
        }
    }
}

//! Recipe clients — decides what simulated members of a group do of themselves, and records what they are
//! told. It never decides how a recipe works.

mod configuration;
mod election;
mod membership;
mod notification;

use std::time::Duration;

use crate::{
    core::Instant,
    name::HostId,
    scenario::recipes::{Recipe, RecipeClients},
    sim::dice::{Dice, Die},
    zookeeper::{client::app::App, recipes::Layout},
};

/// All that a member is given.
#[derive(Debug, Clone)]
pub struct MemberPlan {
    /// Its host.
    pub me: HostId,
    /// How often the host has started.
    pub life: u32,
    /// Its table.
    pub table: RecipeClients,
    /// When it begins, on its own clock.
    pub starts_at: Instant,
    /// When it stops to act of itself, on its own clock.
    pub ends_at: Instant,
    /// The dice of the run.
    pub dice: Dice,
}

/// A member that has not begun.
pub fn boot(plan: MemberPlan) -> Box<dyn App + Send> {
    match plan.table.recipe {
        Recipe::Election => Box::new(election::Candidate::new(plan)),
        Recipe::Membership => Box::new(membership::Member::new(plan)),
        Recipe::Configuration => Box::new(configuration::Author::new(plan)),
        Recipe::Notification => Box::new(notification::Correspondent::new(plan)),
    }
}

/// When a member acts of itself: a Poisson process.
#[derive(Debug)]
struct Pace {
    plan: MemberPlan,
    drawn: u64,
    next: Option<Instant>,
}

impl Pace {
    fn new(plan: MemberPlan) -> Self {
        let mut pace = Self { drawn: 0, next: None, plan };
        pace.plan_next(pace.plan.starts_at);
        pace
    }

    fn plan_next(&mut self, from: Instant) {
        let rate = self.plan.table.actions_per_second;
        self.drawn += 1;
        let mean = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
        let next = mean.map(|mean| from + self.die("recipes.arrival").exponential(mean));
        self.next = next.filter(|at| *at < self.plan.ends_at);
    }

    /// The number of the action that is due now, if one is; one that was slept through is done once.
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.next.filter(|at| *at <= now)?;
        self.plan_next(now);
        Some(self.drawn)
    }

    /// Chance, for this action and question.
    fn die(&self, question: &str) -> Die {
        self.plan.dice.at(question, (self.plan.me, self.plan.life, self.drawn))
    }

    /// Something that nobody else says: `client-3:1:17`.
    fn stamp(&self) -> String {
        format!("{}:{}:{}", self.plan.me, self.plan.life, self.drawn)
    }
}

/// The persistent znodes of a group, all below `/recipes`, without data.
fn layout(paths: &[&str]) -> Layout {
    let all = std::iter::once(&"/recipes").chain(paths);
    Layout::new(all.map(|path| ((*path).to_owned(), None)).collect())
}

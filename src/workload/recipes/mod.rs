//! Recipe clients — decides what simulated members of a group do of themselves, and records what they are
//! told. It never decides how a recipe works.

pub mod arrivals;
mod configuration;
mod election;
mod membership;
mod notification;

use crate::{
    name::HostId,
    scenario::{
        recipes::{Recipe, RecipeClients},
        zookeeper_operations::ZooKeeperOperation,
    },
    workload::agenda::Agenda,
    zookeeper::{client::app::App, recipes::Layout},
};

/// Who a member is, and what it is to do of itself.
#[derive(Debug)]
pub struct MemberPlan {
    /// Its host.
    pub me: HostId,
    /// How often the host has started.
    pub life: u32,
    /// What it does of itself.
    pub agenda: Agenda,
}

impl MemberPlan {
    /// Something that nobody else says, for this action: `client-3:1:17`.
    fn stamp(&self, operation: &ZooKeeperOperation) -> String {
        format!("{}:{}:{}", self.me, self.life, operation.number)
    }
}

/// A member that has not begun.
pub fn boot(table: &RecipeClients, plan: MemberPlan) -> Box<dyn App + Send> {
    match table.recipe {
        Recipe::Election => Box::new(election::Candidate::new(plan)),
        Recipe::Membership => Box::new(membership::Member::new(plan)),
        Recipe::Configuration => Box::new(configuration::Author::new(plan)),
        Recipe::Notification => Box::new(notification::Correspondent::new(plan, table.retained as usize)),
    }
}

/// The persistent znodes of a group, all below `/recipes`, without data.
fn layout(paths: &[&str]) -> Layout {
    let all = std::iter::once(&"/recipes").chain(paths);
    Layout::new(all.map(|path| ((*path).to_owned(), None)).collect())
}

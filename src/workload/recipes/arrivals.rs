//! Arrivals — decides what a member of a group is to do of itself, and when: drawn from its table, or as the plan lists
//! it. It never knows whether the member leads, or is there at all.

use std::time::Duration;

use crate::{
    name::HostId,
    scenario::{
        dice::{RECIPES_ARRIVAL, RECIPES_RESIGN},
        plan::Plan,
        recipes::Recipe,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
    sim::dice::Dice,
    workload::agenda::{FIRST_LIFE, Merge, Source, gap},
};

/// Share of a leader's actions that are resignations.
const RESIGNS: f64 = 0.05;

/// The actions of one member in order of time: those listed and those drawn.
pub fn operations(
    plan: &Plan,
    dice: Dice,
    client: HostId,
    table: usize,
) -> impl Iterator<Item = ZooKeeperOperation> + Send + use<> {
    let table = &plan.recipe_clients[table];
    let (recipe, at) = (table.recipe, table.starts_at);
    let drawn = gap(table.actions_per_second).map(|mean| {
        let arrivals = Arrivals { dice, client, recipe, mean, at, drawn: 0 };
        Box::new(arrivals) as Source<ZooKeeperOperation>
    });
    Merge::of_zookeeper(plan, client, drawn)
}

/// A Poisson process.
struct Arrivals {
    dice: Dice,
    client: HostId,
    recipe: Recipe,
    mean: Duration,
    at: Duration,
    drawn: u64,
}

impl Iterator for Arrivals {
    type Item = ZooKeeperOperation;

    fn next(&mut self) -> Option<ZooKeeperOperation> {
        let number = u32::try_from(self.drawn).ok()?;
        self.drawn += 1;
        let key = (self.client, FIRST_LIFE, self.drawn);
        self.at += self.dice.at(RECIPES_ARRIVAL, key).exponential(self.mean);
        Some(ZooKeeperOperation::new(self.client, number, self.at, self.ask()))
    }
}

impl Arrivals {
    fn ask(&self) -> ZooKeeperAsk {
        let mut die = self.dice.at(RECIPES_RESIGN, (self.client, FIRST_LIFE, self.drawn + 1));
        match self.recipe {
            Recipe::Election if die.chance(RESIGNS) => ZooKeeperAsk::Resign,
            Recipe::Election => ZooKeeperAsk::Write,
            Recipe::Membership => ZooKeeperAsk::Leave,
            Recipe::Configuration => ZooKeeperAsk::Change,
            Recipe::Notification => ZooKeeperAsk::Publish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{format::Scenario, recipes::RecipeClients};

    #[test]
    fn each_recipe_has_its_actions_at_its_rate() {
        for recipe in [Recipe::Election, Recipe::Membership, Recipe::Configuration, Recipe::Notification] {
            let recipe_clients =
                vec![RecipeClients { recipe, actions_per_second: 10.0, ..Default::default() }];
            let duration = Duration::from_secs(20);
            let scenario = Scenario { title: "t".into(), duration, recipe_clients, ..Scenario::default() };
            let all: Vec<_> = operations(&scenario.plan(7), Dice::new(7), HostId::client(2), 0).collect();
            assert!((150..250).contains(&all.len()), "{recipe:?}: {}", all.len());
            assert!(all.iter().all(|one| one.ask.recipe() == Some(recipe)), "{recipe:?}");
            let resigns = all.iter().filter(|one| one.ask == ZooKeeperAsk::Resign).count();
            assert!(resigns < 30 && (resigns > 0) == (recipe == Recipe::Election), "{recipe:?}: {resigns}");
        }
    }
}

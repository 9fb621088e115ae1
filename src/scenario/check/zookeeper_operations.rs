//! Sense of the operations on ZooKeeper — decides whether each listed one has a client that asks it, and says what it
//! needs. It never says what the answer will be.

use std::{collections::BTreeSet, time::Duration};

use super::{CLIENTS, Flaws, operations::OPERATIONS_MAX};
use crate::{
    name::{HostId, HostKind},
    scenario::{
        duration,
        format::Scenario,
        recipes::Recipe,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
};

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    let count = scenario.zookeeper_operations.len();
    if count > OPERATIONS_MAX {
        let message = format!("{count} operations");
        return flaws.add("zookeeper_operations", message, format!("at most {OPERATIONS_MAX}"));
    }
    let mut seen = BTreeSet::new();
    for (at, operation) in scenario.zookeeper_operations.iter().enumerate() {
        let listed = Listed { at, operation };
        listed.asker(scenario, flaws);
        listed.time(scenario, flaws);
        listed.arguments(scenario, flaws);
        if !seen.insert((operation.client, operation.number)) {
            let message = format!("a second operation {} of `{}`", operation.number, operation.client);
            flaws.add(listed.path("number"), message, "numbers of one client must differ");
        }
    }
    drawn_as_well(scenario, flaws);
}

/// The table that a client is of: its recipe, if it follows one, when it begins, and whether it has a rate.
struct Table {
    recipe: Option<Recipe>,
    starts_at: Duration,
    is_drawn: bool,
}

/// Every client's table, in order of the clients, and the number of the first.
fn tables(scenario: &Scenario) -> (usize, impl Iterator<Item = (usize, Table)> + '_) {
    let alone = scenario.zookeeper_clients.iter().map(|one| {
        let is_drawn = one.operations_per_second > 0.0 || one.reopens_every.is_some();
        (usize::from(one.count), Table { recipe: None, starts_at: one.starts_at, is_drawn })
    });
    let members = scenario.recipe_clients.iter().map(|one| {
        let (recipe, is_drawn) = (Some(one.recipe), one.actions_per_second > 0.0);
        (usize::from(one.count), Table { recipe, starts_at: one.starts_at, is_drawn })
    });
    (scenario.workloads.len() + 2, alone.chain(members))
}

fn table_of(scenario: &Scenario, client: HostId) -> Option<Table> {
    let (first, mut tables) = tables(scenario);
    let mut left = usize::from(client.number).checked_sub(first)?;
    let is_of = |(count, _): &(usize, Table)| {
        let is_in = left < *count;
        left = left.saturating_sub(*count);
        is_in
    };
    tables.find(is_of).map(|(_, table)| table).filter(|_| client.kind == HostKind::Client)
}

/// One of the list.
struct Listed<'a> {
    at: usize,
    operation: &'a ZooKeeperOperation,
}

impl Listed<'_> {
    fn path(&self, key: &str) -> String {
        format!("zookeeper_operations.{}.{key}", self.at)
    }

    fn asker(&self, scenario: &Scenario, flaws: &mut Flaws) {
        let ZooKeeperOperation { client, ask, .. } = self.operation;
        let Some(table) = table_of(scenario, *client) else {
            let message = format!("`{client}` is no client of ZooKeeper alone and follows no recipe");
            let (first, tables) = tables(scenario);
            let help = match tables.map(|(count, _)| count).sum::<usize>() {
                0 => "there are no `[[zookeeper_clients]]` and no `[[recipe_clients]]`".to_owned(),
                1 => format!("the only one is `client-{first}`"),
                count => format!("they are `client-{first}` to `client-{}`", first + count - 1),
            };
            return flaws.add_if_read(CLIENTS, self.path("client"), message, help);
        };
        if ask.recipe() != table.recipe {
            let message = format!("`{client}` does not do this");
            let help = match table.recipe {
                None => "it asks what is in the mix of `[[zookeeper_clients]]`, such as `get`",
                Some(Recipe::Election) => "who stands for election does `write` and `resign`",
                Some(Recipe::Membership) => "a member does `leave`",
                Some(Recipe::Configuration) => "who shares a configuration does `change`",
                Some(Recipe::Notification) => "who publishes notices does `publish`",
            };
            flaws.add_if_read(CLIENTS, self.path("ask"), message, help);
        }
        if self.operation.at < table.starts_at {
            let message = "the operation is asked before the client begins";
            let help = format!("not before {}", duration::show(table.starts_at));
            flaws.add_if_read(CLIENTS, self.path("at"), message, help);
        }
    }

    fn time(&self, scenario: &Scenario, flaws: &mut Flaws) {
        if self.operation.at >= scenario.duration {
            let message = "the operation is asked when the run is over";
            let help = format!("earlier than the end at {}", duration::show(scenario.duration));
            flaws.add_if_read(&["duration"], self.path("at"), message, help);
        }
    }

    fn arguments(&self, scenario: &Scenario, flaws: &mut Flaws) {
        let ZooKeeperOperation { ask, path, beside, ephemeral, sequential, seen, oldest, watch, .. } =
            self.operation;
        let (creates, deletes) = (*ask == ZooKeeperAsk::Create, *ask == ZooKeeperAsk::Delete);
        let is_multi = *ask == ZooKeeperAsk::Multi;
        if path.is_empty() && ask.names_a_node() {
            flaws.add(self.path("ask"), "the operation names no node", "such as `path = \"/work/key-0\"`");
        }
        for (key, path) in [("path", path), ("beside", beside)] {
            if !path.is_empty() && !is_path(path) {
                let help = "it begins with `/`, and there is something behind every `/`";
                flaws.add(self.path(key), format!("`{path}` is no path"), help);
            }
        }
        let takes_number = creates || is_multi && !beside.is_empty();
        let extras = [
            ("path", !ask.names_a_node() && !path.is_empty(), "what is about one node"),
            ("beside", !is_multi && !beside.is_empty(), "`multi`"),
            ("ephemeral", !creates && *ephemeral, "`create`"),
            ("sequential", !takes_number && *sequential, "`create`, and what a `multi` makes `beside`"),
            ("seen", *ask != ZooKeeperAsk::Set && !deletes && *seen, "`set` or `delete`"),
            ("oldest", !deletes && *oldest, "`delete`"),
            ("watch", !ask.can_watch() && *watch, "`get`, `exists` or `children`"),
        ];
        for (key, _, whose) in extras.into_iter().filter(|(_, is_odd, _)| *is_odd) {
            flaws.add(self.path(key), format!("`{key}` says something only of {whose}"), "take it out");
        }
        if *ask == ZooKeeperAsk::CreateTtl && !scenario.zookeeper.extended_types {
            let help = "add `extended_types = true` to `[zookeeper]`, or take it out";
            flaws.add(self.path("ask"), "this ensemble makes no TTL nodes", help);
        }
    }
}

fn is_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !part.is_empty()))
}

/// Those listed and those drawn would have the same numbers.
fn drawn_as_well(scenario: &Scenario, flaws: &mut Flaws) {
    let is_drawn =
        |one: &ZooKeeperOperation| table_of(scenario, one.client).is_some_and(|table| table.is_drawn);
    if let Some(at) = scenario.zookeeper_operations.iter().position(is_drawn) {
        let message = "the table of this client has a rate as well";
        let help = "give it `operations_per_second = 0` or `actions_per_second = 0`, and no \
            `reopens_every`: numbers would meet";
        flaws.add(format!("zookeeper_operations.{at}.client"), message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{check::Vocabulary, ensemble::ZooKeeperClients, recipes::RecipeClients};

    fn paths(change: impl FnOnce(&mut Scenario)) -> Vec<String> {
        let get = ZooKeeperOperation {
            path: "/work/key-0".into(),
            ..ZooKeeperOperation::new(HostId::client(3), 0, Duration::from_secs(1), ZooKeeperAsk::Get)
        };
        let write = ZooKeeperOperation::new(HostId::client(4), 0, get.at, ZooKeeperAsk::Write);
        let quiet = ZooKeeperClients { count: 2, operations_per_second: 0.0, ..Default::default() };
        let mut scenario = Scenario {
            title: "a".into(),
            duration: Duration::from_secs(10),
            zookeeper_clients: vec![quiet],
            recipe_clients: vec![RecipeClients { actions_per_second: 0.0, ..Default::default() }],
            zookeeper_operations: vec![get, write],
            ..Scenario::default()
        };
        change(&mut scenario);
        let flaws = crate::scenario::check::check(&scenario, &Vocabulary::default());
        flaws.into_iter().map(|flaw| flaw.path.replace("zookeeper_operations.0.", "")).collect()
    }

    fn first(change: impl FnOnce(&mut ZooKeeperOperation)) -> Vec<String> {
        paths(|one| change(&mut one.zookeeper_operations[0]))
    }

    #[test]
    fn listed_operations_of_idle_clients_are_sound() {
        assert_eq!(paths(|_| {}), [""; 0]);
    }

    #[test]
    fn who_cannot_ask_is_named() {
        assert_eq!(first(|one| one.client = HostId::client(1)), ["client"]);
        assert_eq!(first(|one| one.client = HostId::client(7)), ["client"]);
        assert_eq!(first(|one| one.client = HostId::search(3)), ["client"]);
        assert_eq!(first(|one| one.client = HostId::client(5)), ["ask"]);
        assert_eq!(
            paths(|one| one.recipe_clients[0].recipe = Recipe::Membership),
            ["zookeeper_operations.1.ask"]
        );
        assert_eq!(paths(|one| one.zookeeper_clients[0].operations_per_second = 1.0), ["client"]);
        assert_eq!(
            paths(|one| one.zookeeper_clients[0].reopens_every = Some(Duration::from_secs(1))),
            ["client"]
        );
        let again = |one: &mut Scenario| one.zookeeper_operations.push(one.zookeeper_operations[0].clone());
        assert_eq!(paths(again), ["zookeeper_operations.2.number"]);
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        assert_eq!(first(|one| one.at = Duration::from_secs(10)), ["at"]);
        assert_eq!(paths(|one| one.zookeeper_clients[0].starts_at = Duration::from_secs(2)), ["at"]);
        assert_eq!(first(|one| one.path.clear()), ["ask"]);
        for path in ["work", "/work/", "//", "/"] {
            assert_eq!(first(|one| one.path = path.into()), ["path"]);
        }
        assert_eq!(first(|one| one.ask = ZooKeeperAsk::Close), ["path"]);
        assert_eq!(first(|one| one.ask = ZooKeeperAsk::CreateTtl), ["ask"]);
        assert_eq!(first(|one| one.beside = "/a".into()), ["beside"]);
        assert_eq!(first(|one| one.ephemeral = true), ["ephemeral"]);
        assert_eq!(first(|one| one.sequential = true), ["sequential"]);
        assert_eq!(first(|one| one.seen = true), ["seen"]);
        assert_eq!(first(|one| one.oldest = true), ["oldest"]);
        assert_eq!(first(|one| (one.ask, one.watch) = (ZooKeeperAsk::Set, true)), ["watch"]);
    }
}

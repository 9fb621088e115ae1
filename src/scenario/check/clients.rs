//! Sense of the clients — decides whether those of ZooKeeper alone have something to do. It never counts load.

use std::time::Duration;

use super::{Flaws, client_count};
use crate::scenario::{ensemble::ZooKeeperClients, format::Scenario};

/// The most clients of a run.
const CLIENTS_MAX: usize = 10_000;

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    let count = client_count(scenario);
    if count > CLIENTS_MAX {
        let message = format!("{count} clients");
        flaws.add("zookeeper_clients.0.count", message, format!("at most {CLIENTS_MAX} in all"));
    }
    for (at, clients) in scenario.zookeeper_clients.iter().enumerate() {
        let table = Table { at };
        table.numbers(clients, flaws);
        table.mix(clients, flaws);
        table.times(scenario, clients, flaws);
        if clients.mix.create_ttl > 0.0 && !scenario.zookeeper.extended_types {
            let help = "add `extended_types = true` to `[zookeeper]`, or take it out";
            flaws.add(table.path("mix.create_ttl"), "this ensemble makes no TTL nodes", help);
        }
    }
}

/// One table of clients.
struct Table {
    at: usize,
}

impl Table {
    fn path(&self, key: &str) -> String {
        format!("zookeeper_clients.{}.{key}", self.at)
    }

    fn numbers(&self, clients: &ZooKeeperClients, flaws: &mut Flaws) {
        let counts = [("count", u32::from(clients.count)), ("keys", clients.keys), ("burst", clients.burst)];
        for (key, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            flaws.add(self.path(key), format!("`{key}` is 0"), "at least 1");
        }
        for (key, count) in [("keys", clients.keys), ("burst", clients.burst)] {
            if count > 1_000 {
                flaws.add(self.path(key), format!("`{key}` is {count}"), "at most 1000");
            }
        }
        let rate = clients.operations_per_second;
        if !(0.0..=1e5).contains(&rate) {
            flaws.add(
                self.path("operations_per_second"),
                format!("a rate of {rate} a second"),
                "0 to 100000",
            );
        }
        for (key, share) in [("watch_share", clients.watch_share), ("abandon_share", clients.abandon_share)] {
            if !(0.0..=1.0).contains(&share) {
                flaws.add(self.path(key), format!("a share of {share}"), "0 to 1");
            }
        }
    }

    fn mix(&self, clients: &ZooKeeperClients, flaws: &mut Flaws) {
        let weights = clients.mix.weights();
        for (key, weight) in weights.iter().filter(|(_, weight)| !(0.0..=1e6).contains(weight)) {
            flaws.add(self.path(&format!("mix.{key}")), format!("a weight of {weight}"), "0 to 1000000");
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            flaws.add(
                self.path("mix"),
                "the clients ask nothing",
                "give something a weight, such as `get = 1`",
            );
        }
    }

    fn times(&self, scenario: &Scenario, clients: &ZooKeeperClients, flaws: &mut Flaws) {
        let short = Duration::from_millis(1);
        if clients.session_timeout < short {
            let message = "`session_timeout` is under a millisecond";
            flaws.add(self.path("session_timeout"), message, "at least \"1ms\"");
        }
        if clients.reopens_every.is_some_and(|every| every < short) {
            let message = "`reopens_every` is under a millisecond";
            flaws.add(self.path("reopens_every"), message, "such as \"5s\"");
        }
        if clients.starts_at >= scenario.duration {
            let message = "the clients begin when the run is over";
            flaws.add_if_read(&["duration"], self.path("starts_at"), message, "earlier than `duration`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{check::Vocabulary, ensemble::Mix};

    fn paths(change: impl FnOnce(&mut ZooKeeperClients)) -> Vec<String> {
        let mut clients = ZooKeeperClients::default();
        change(&mut clients);
        let mut scenario =
            Scenario { title: "a".into(), duration: Duration::from_secs(10), ..Default::default() };
        scenario.zookeeper_clients = vec![clients];
        let flaws = crate::scenario::check::check(&scenario, &Vocabulary::default());
        flaws.into_iter().map(|flaw| flaw.path.replace("zookeeper_clients.0.", "")).collect()
    }

    #[test]
    fn clients_of_the_defaults_need_no_search_nodes() {
        assert_eq!(paths(|_| {}), [""; 0]);
    }

    #[test]
    fn each_bad_number_is_named() {
        assert_eq!(paths(|clients| clients.count = 0), ["count"]);
        assert_eq!(paths(|clients| clients.keys = 0), ["keys"]);
        assert_eq!(paths(|clients| clients.burst = 1_001), ["burst"]);
        assert_eq!(paths(|clients| clients.operations_per_second = -1.0), ["operations_per_second"]);
        assert_eq!(paths(|clients| clients.watch_share = 1.5), ["watch_share"]);
        assert_eq!(paths(|clients| clients.mix.set = f64::NAN), ["mix.set"]);
        assert_eq!(paths(|clients| clients.starts_at = Duration::from_secs(10)), ["starts_at"]);
        assert_eq!(paths(|clients| clients.reopens_every = Some(Duration::ZERO)), ["reopens_every"]);
    }

    #[test]
    fn mix_of_nothing_is_refused() {
        let nothing: Mix = toml::from_str(
            &toml::to_string(&Mix::default())
                .unwrap()
                .lines()
                .map(|line| line.split_once('=').map_or(String::new(), |(key, _)| format!("{key}= 0.0\n")))
                .collect::<String>(),
        )
        .unwrap();
        assert_eq!(paths(|clients| clients.mix = nothing), ["mix"]);
    }

    #[test]
    fn ttl_nodes_need_extended_types() {
        assert_eq!(paths(|clients| clients.mix.create_ttl = 1.0), ["mix.create_ttl"]);
    }
}

//! Sense of triggers and targets — decides whether a fault or a step ever happens, and whether there is whom it
//! names. It never looks at what is done.

use std::time::Duration;

use super::{Flaws, INDICES, SERVERS, ZONES, cluster::known_host, index_meant, indices, zones};
use crate::{
    event::EventKind,
    name::ShardId,
    scenario::{
        duration,
        format::{Scenario, When},
        nearest::suggestion,
        plan::Selector,
    },
};

/// One fault or step of a scenario.
pub(super) struct Place<'a> {
    pub(super) scenario: &'a Scenario,
    /// The list it is in: `faults`.
    pub(super) table: &'static str,
    /// What it is called: `fault`.
    pub(super) noun: &'static str,
    /// Its number there, from 0.
    pub(super) at: usize,
}

impl Place<'_> {
    pub(super) fn itself(&self) -> String {
        format!("{}.{}", self.table, self.at)
    }

    pub(super) fn path(&self, key: &str) -> String {
        format!("{}.{}.{key}", self.table, self.at)
    }

    fn verb(&self) -> &'static str {
        if self.noun == "fault" { "strikes" } else { "happens" }
    }

    pub(super) fn trigger(&self, at: Option<Duration>, when: Option<&When>, flaws: &mut Flaws) {
        match (at, when) {
            (Some(at), None) => self.in_time("at", at, flaws),
            (None, Some(when)) => self.when(when, flaws),
            (None, None) => {
                let help = match self.noun {
                    "fault" => {
                        "add `at = \"12s\"`, `when = { event = \"…\" }`, `every = \"5s\"` or `rate = 0.2`"
                    }
                    _ => "add `at = \"12s\"`, or `when = { event = \"…\" }`",
                };
                flaws.add(self.itself(), format!("the {} never {}", self.noun, self.verb()), help);
            }
            (Some(_), Some(_)) => {
                let message = format!("the {} has two triggers", self.noun);
                flaws.add(self.path("when"), message, "keep `at` or `when`");
            }
        }
    }

    pub(super) fn in_time(&self, key: &str, time: Duration, flaws: &mut Flaws) {
        let end = self.scenario.duration;
        if time >= end {
            let message = format!(
                "the {} {} at {}, when the run is over",
                self.noun,
                self.verb(),
                duration::show(time)
            );
            let help = format!("earlier than the end at {}", duration::show(end));
            flaws.add_if_read(&["duration"], self.path(key), message, help);
        }
    }

    fn when(&self, when: &When, flaws: &mut Flaws) {
        self.in_time("when.after", when.after, flaws);
        if !EventKind::NAMES.contains(&when.event.as_str()) {
            let message = match when.event.as_str() {
                "" => "the trigger names no event".into(),
                name => format!("`{name}` is not an event"),
            };
            let near = suggestion(&when.event, EventKind::NAMES.iter().copied());
            let help = format!("{near}; `shardarium list events` has them all");
            flaws.add(self.path("when.event"), message, help);
        }
        if when.nth == 0 {
            flaws.add(self.path("when.nth"), "occurrences are counted from 1", "such as `nth = 1`");
        }
    }

    pub(super) fn target(&self, key: &str, selector: &Selector, flaws: &mut Flaws) {
        let path = self.path(key);
        match selector {
            Selector::Host(host) => known_host(self.scenario, path, *host, flaws),
            Selector::Primary(shard) => self.shard(path, shard, 0, flaws),
            Selector::Replica(shard) => self.shard(path, shard, 1, flaws),
            Selector::Zone(zone) => self.zone(path, zone, flaws),
            Selector::Random(group) => self.target(key, &group.into(), flaws),
            Selector::ZkMinority if self.scenario.cluster.zookeeper < 3 => {
                let message =
                    format!("no minority of {} ZooKeeper server(s)", self.scenario.cluster.zookeeper);
                flaws.add_if_read(SERVERS, path, message, "it takes three servers or more");
            }
            _ => {}
        }
    }

    fn shard(&self, path: String, shard: &ShardId, replicas_min: u32, flaws: &mut Flaws) {
        let Some(index) = indices(self.scenario).find(|index| *index.name == *shard.index.0) else {
            let help = index_meant(self.scenario, &shard.index.0);
            return flaws.add_if_read(INDICES, path, format!("there is no index `{}`", shard.index), help);
        };
        if shard.number >= index.shards {
            let help = format!("its shards are 0 to {}", index.shards.saturating_sub(1));
            let hinges_on = &["indices.*.shards"];
            return flaws.add_if_read(hinges_on, path, format!("there is no shard `{shard}`"), help);
        }
        if index.replicas < replicas_min {
            let message = format!("index `{}` has no replicas", index.name);
            flaws.add_if_read(&["indices.*.replicas"], path, message, "give it `replicas = 1`");
        }
    }

    /// The same for a shard whose index and number stand under keys of their own.
    pub(super) fn known_shard(&self, index: &str, number: &str, shard: &ShardId, flaws: &mut Flaws) {
        let is_known = indices(self.scenario).any(|index| *index.name == *shard.index.0);
        self.shard(self.path(if is_known { number } else { index }), shard, 0, flaws);
    }

    fn zone(&self, path: String, zone: &str, flaws: &mut Flaws) {
        let zones = zones(self.scenario);
        if !zones.contains(zone) {
            let help = suggestion(zone, zones.iter().map(String::as_str));
            flaws.add_if_read(ZONES, path, format!("no search node is in zone `{zone}`"), help);
        }
    }
}

//! Sense of the faults — decides whether each has one trigger, one deed and somebody to hit. It never
//! resolves a selector.

use std::time::Duration;

use super::{Flaws, INDICES, SERVERS, ZONES, cluster::known_host, zones};
use crate::{
    event::EventKind,
    name::ShardId,
    scenario::{
        duration,
        format::{Fault, Scenario, When},
        nearest::suggestion,
        plan::Selector,
    },
};

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    for (at, fault) in scenario.faults.iter().enumerate() {
        let place = Place { scenario, at };
        place.trigger(fault, flaws);
        place.deed(fault, flaws);
        place.extras(fault, flaws);
        place.targets(fault, flaws);
    }
}

/// One fault of a scenario.
struct Place<'a> {
    scenario: &'a Scenario,
    at: usize,
}

impl Place<'_> {
    fn path(&self, key: &str) -> String {
        format!("faults.{}.{key}", self.at)
    }

    fn trigger(&self, fault: &Fault, flaws: &mut Flaws) {
        match (fault.at, &fault.when) {
            (Some(at), None) => self.in_time("at", at, flaws),
            (None, Some(when)) => self.when(when, flaws),
            (None, None) => {
                let help = "add `at = \"12s\"`, or `when = { event = \"…\" }`";
                flaws.add(format!("faults.{}", self.at), "the fault never strikes", help);
            }
            (Some(_), Some(_)) => {
                flaws.add(self.path("when"), "the fault has two triggers", "keep `at` or `when`");
            }
        }
    }

    fn in_time(&self, key: &str, time: Duration, flaws: &mut Flaws) {
        let end = self.scenario.duration;
        if time >= end {
            let message = format!("the fault strikes at {}, when the run is over", duration::show(time));
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

    fn deed(&self, fault: &Fault, flaws: &mut Flaws) {
        let deeds = [
            ("crash", fault.crash.is_some()),
            ("wipe", fault.wipe.is_some()),
            ("pause", fault.pause.is_some()),
            ("cut", fault.cut.is_some()),
            ("slow", fault.slow.is_some()),
            ("expire", fault.expire.is_some()),
            ("reconfig", fault.reconfig.is_some()),
        ];
        let given: Vec<&str> = deeds.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let help = "add a deed, such as `crash = \"primary(articles/0)\"`";
                flaws.add(format!("faults.{}", self.at), "the fault does nothing", help);
            }
            [first, second, ..] => {
                let message = format!("the fault does two things: `{first}` and `{second}`");
                flaws.add(self.path(second), message, "make two `[[faults]]` of it");
            }
        }
    }

    fn extras(&self, fault: &Fault, flaws: &mut Flaws) {
        let (cut, slow) = (fault.cut.is_some(), fault.slow.is_some());
        let extras = [
            ("power", "`crash`", fault.power.is_some(), fault.crash.is_some()),
            ("to", "`cut` or `slow`", fault.to.is_some(), cut || slow),
            ("direction", "`cut` or `slow`", fault.direction.is_some(), cut || slow),
            ("mode", "`cut`", fault.mode.is_some(), cut),
            ("delay", "`slow`", fault.delay.is_some(), slow),
        ];
        for (key, deed, given, apt) in extras {
            if given && !apt {
                flaws.add(self.path(key), format!("`{key}` says something only of a {deed}"), "take it out");
            }
        }
        self.lateness(fault, flaws);
        let is_done_at_once = fault.expire.is_some() || fault.reconfig.is_some();
        if fault.lasts.is_some() && is_done_at_once {
            let help = "take it out; a second fault may undo what it did";
            flaws.add(self.path("lasts"), "what an administrator does is not undone", help);
        }
        if fault.lasts == Some(Duration::ZERO) {
            let help = "leave it out for a fault that is never undone";
            flaws.add(self.path("lasts"), "the fault is over at once", help);
        }
    }

    fn lateness(&self, fault: &Fault, flaws: &mut Flaws) {
        match (&fault.slow, fault.delay) {
            (Some(_), None) => {
                let help = "add `delay = { min = \"20ms\", mean = \"80ms\" }`";
                flaws.add(self.path("slow"), "the fault does not say how late messages are", help);
            }
            (_, Some(delay)) if delay.min > delay.mean => {
                let help = format!("at most the mean, {:?}", delay.mean);
                flaws.add(self.path("delay.min"), "the least delay is longer than the mean", help);
            }
            _ => {}
        }
    }

    fn reconfiguration(&self, fault: &Fault, flaws: &mut Flaws) {
        let Some(change) = &fault.reconfig else { return };
        if !self.scenario.zookeeper.reconfig {
            let help = "add `reconfig = true` to `[zookeeper]`";
            flaws.add(self.path("reconfig"), "this ensemble cannot be changed", help);
        }
        let lists =
            [("joining", &change.joining), ("observing", &change.observing), ("leaving", &change.leaving)];
        if lists.iter().all(|(_, list)| list.is_empty()) {
            let help = "such as `reconfig = { joining = [\"zk-4\"], leaving = [\"zk-1\"] }`";
            flaws.add(self.path("reconfig"), "the change names no server", help);
        }
        for (key, list) in lists {
            for (at, selector) in list.iter().enumerate() {
                self.target(&format!("reconfig.{key}.{at}"), selector, flaws);
            }
        }
    }

    fn targets(&self, fault: &Fault, flaws: &mut Flaws) {
        let selectors = [
            ("crash", fault.crash.as_ref()),
            ("wipe", fault.wipe.as_ref()),
            ("pause", fault.pause.as_ref()),
            ("cut", fault.cut.as_ref()),
            ("slow", fault.slow.as_ref()),
            ("expire", fault.expire.as_ref()),
            ("to", fault.to.as_ref()),
            ("when.host", fault.when.as_ref().and_then(|when| when.host.as_ref())),
        ];
        for (key, selector) in selectors {
            if let Some(selector) = selector {
                self.target(key, selector, flaws);
            }
        }
        self.reconfiguration(fault, flaws);
        let waits = fault.when.is_some();
        let is_event_host = |(_, selector): &(_, Option<&Selector>)| *selector == Some(&Selector::EventHost);
        if let Some((key, _)) =
            selectors.iter().find(|one| is_event_host(one) && (!waits || one.0 == "when.host"))
        {
            let help = "name somebody else, or give the fault `when` without `host`";
            flaws.add(self.path(key), "there is no event whose host could be meant", help);
        }
    }

    fn target(&self, key: &str, selector: &Selector, flaws: &mut Flaws) {
        let path = self.path(key);
        match selector {
            Selector::Host(host) => known_host(self.scenario, path, *host, flaws),
            Selector::Primary(shard) => self.shard(path, shard, 0, flaws),
            Selector::Replica(shard) => self.shard(path, shard, 1, flaws),
            Selector::Zone(zone) => self.zone(path, zone, flaws),
            Selector::ZkMinority if self.scenario.cluster.zookeeper < 3 => {
                let message =
                    format!("no minority of {} ZooKeeper server(s)", self.scenario.cluster.zookeeper);
                flaws.add_if_read(SERVERS, path, message, "it takes three servers or more");
            }
            _ => {}
        }
    }

    fn shard(&self, path: String, shard: &ShardId, replicas_min: u32, flaws: &mut Flaws) {
        let indices = &self.scenario.indices;
        let Some(index) = indices.iter().find(|index| *index.name == *shard.index.0) else {
            let help = suggestion(&shard.index.0, indices.iter().map(|index| index.name.as_str()));
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

    fn zone(&self, path: String, zone: &str, flaws: &mut Flaws) {
        let zones = zones(self.scenario);
        if !zones.contains(zone) {
            let help = suggestion(zone, zones.iter().map(String::as_str));
            flaws.add_if_read(ZONES, path, format!("no search node is in zone `{zone}`"), help);
        }
    }
}

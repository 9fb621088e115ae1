//! Sense of the faults — decides whether each has one trigger, one deed and somebody to hit. It never
//! resolves a selector.

use std::time::Duration;

use super::{Flaws, place::Place};
use crate::scenario::{
    format::{Fault, Scenario},
    plan::Selector,
};

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    for (at, fault) in scenario.faults.iter().enumerate() {
        let place = Place { scenario, table: "faults", noun: "fault", at };
        place.trigger(fault.at, fault.when.as_ref(), flaws);
        place.deed(fault, flaws);
        place.extras(fault, flaws);
        place.targets(fault, flaws);
    }
}

impl Place<'_> {
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
                flaws.add(self.itself(), "the fault does nothing", help);
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
}

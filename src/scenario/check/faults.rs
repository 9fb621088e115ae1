//! Sense of the faults — decides whether each has one trigger, one deed and somebody to hit. It never
//! resolves a selector.

use std::time::Duration;

use super::{Flaws, place::Place};
use crate::scenario::{
    deeds::Fault,
    duration::show,
    format::{Scenario, Spread},
    nemesis::{self, STRIKES_MAX, Swarm},
    plan::{Group, HEAL_ALL, Selector},
};

/// A clock that runs faster or slower than this is no clock.
const DRIFT_MAX_PPM: i32 = 200_000;

/// Clocks of machines that are off by more were never set.
const JUMP_MAX: Duration = Duration::from_secs(24 * 3600);

/// Deeds that what is said beside them relies on.
const LINKS: &[&str] = &["faults.*.cut", "faults.*.slow"];
const LINKS_OR_LOST: &[&str] = &["faults.*.cut", "faults.*.slow", "faults.*.lose_reply"];
const CUTS: &[&str] = &["faults.*.cut", "faults.*.partition"];
const SLOW: &[&str] = &["faults.*.slow", "faults.*.slow_disk"];
const DISK: &[&str] = &[
    "faults.*.read_error",
    "faults.*.write_error",
    "faults.*.fsync_error",
    "faults.*.full",
    "faults.*.rot",
    "faults.*.misdirect",
];

/// How long after the scenario's own length a fault may last: its end waits for what is undone.
const OUTLAST_MAX: Duration = Duration::from_secs(600);

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    for (at, fault) in scenario.faults.iter().enumerate() {
        let place = Place { scenario, table: "faults", noun: "fault", at };
        place.triggers(fault, flaws);
        place.deed(fault, flaws);
        place.extras(fault, flaws);
        place.figures(fault, flaws);
        place.targets(fault, flaws);
        place.heal(fault, flaws);
    }
    if let Some(swarm) = &scenario.swarm {
        check_swarm(swarm, flaws);
    }
}

fn check_swarm(swarm: &Swarm, flaws: &mut Flaws) {
    if !(0.0..=1.0).contains(&swarm.chance) {
        flaws.add("swarm.chance", "a chance is between 0 and 1", "such as `chance = 0.5`");
    }
    let [weakest, strongest] = swarm.strength;
    if !(weakest > 0.0 && weakest <= strongest && strongest <= 100.0) {
        let help = "two factors above 0, the lesser first, such as `strength = [0.5, 2.0]`";
        flaws.add("swarm.strength", "no strength can be drawn between these", help);
    }
}

impl Place<'_> {
    /// One of `at`, `when`, `every` and `rate`.
    fn triggers(&self, fault: &Fault, flaws: &mut Flaws) {
        let repeats = [("every", fault.every.is_some()), ("rate", fault.rate.is_some())];
        let mut repeats = repeats.into_iter().filter(|(_, given)| *given).map(|(key, _)| key);
        let Some(first) = repeats.next() else {
            self.trigger(fault.at, fault.when.as_ref(), flaws);
            return self.only_of_repeats(fault, flaws);
        };
        let once = fault.at.is_some() || fault.when.is_some();
        if once || repeats.next().is_some() {
            flaws.add(
                self.path(first),
                "the fault has two triggers",
                "keep one of `at`, `when`, `every`, `rate`",
            );
        }
        self.repetition(fault, flaws);
    }

    fn only_of_repeats(&self, fault: &Fault, flaws: &mut Flaws) {
        let keys = [
            ("from", fault.from.is_some()),
            ("until", fault.until.is_some()),
            ("times", fault.times.is_some()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, given)| *given) {
            let message = format!("`{key}` says something only of a fault that repeats");
            let help = "add `every = \"5s\"` or `rate = 0.2`, or take it out";
            flaws.add_if_read(&["faults.*.every", "faults.*.rate"], self.path(key), message, help);
        }
    }

    fn repetition(&self, fault: &Fault, flaws: &mut Flaws) {
        if fault.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1_000.0)) {
            flaws.add(
                self.path("rate"),
                "no fault strikes so often a second",
                "above 0 and at most 1000, such as `rate = 0.2`",
            );
            return;
        }
        if fault.every.is_some_and(|every| every < Duration::from_millis(1)) {
            flaws.add(
                self.path("every"),
                "the fault would strike without a pause",
                "such as `every = \"5s\"`",
            );
            return;
        }
        if fault.times == Some(0) {
            flaws.add(self.path("times"), "the fault never strikes", "at least once");
        }
        self.window(fault, flaws);
        let until = fault.until.unwrap_or(self.scenario.duration).min(self.scenario.duration);
        let span = until.saturating_sub(fault.from.unwrap_or_default()).as_secs_f64();
        let a_second = fault.rate.or(fault.every.map(|every| 1.0 / every.as_secs_f64())).unwrap_or_default();
        if span * a_second > f64::from(STRIKES_MAX) && fault.times.is_none() {
            let message = format!("the fault would strike about {:.0} times", span * a_second);
            flaws.add(
                self.itself(),
                message,
                format!("at most {STRIKES_MAX}; add `times`, or strike less often"),
            );
        }
    }

    fn window(&self, fault: &Fault, flaws: &mut Flaws) {
        if let Some(from) = fault.from {
            self.in_time("from", from, flaws);
            if fault.until.is_some_and(|until| until <= from) {
                flaws.add(self.path("until"), "the fault would end before it begins", "later than `from`");
            }
        }
        if fault.times.is_some_and(|times| times > STRIKES_MAX) {
            flaws.add(
                self.path("times"),
                "the fault strikes too often",
                format!("at most {STRIKES_MAX} times"),
            );
        }
    }

    fn deed(&self, fault: &Fault, flaws: &mut Flaws) {
        let heal = [("heal", fault.heal.is_some())];
        let given: Vec<&str> =
            fault.deeds().into_iter().chain(heal).filter(|(_, given)| *given).map(|(key, _)| key).collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let help = "add a deed, such as `crash = \"primary(articles/0)\"`; `shardarium list faults` has them all";
                flaws.add(self.itself(), "the fault does nothing", help);
            }
            [first, second, ..] => {
                let message = format!("the fault does two things: `{first}` and `{second}`");
                flaws.add(self.path(second), message, "make two `[[faults]]` of it");
            }
        }
    }

    fn extras(&self, fault: &Fault, flaws: &mut Flaws) {
        let links = fault.cut.is_some() || fault.slow.is_some();
        let cuts = fault.cut.is_some() || fault.partition.is_some();
        let disk = fault.read_error.is_some()
            || fault.write_error.is_some()
            || fault.fsync_error.is_some()
            || fault.full.is_some()
            || fault.rot.is_some()
            || fault.misdirect.is_some();
        let (slow, lost) = (fault.slow.is_some(), fault.lose_reply.is_some());
        let extras: [(_, _, _, _, &'static [&'static str]); 16] = [
            ("power", "`crash`", fault.power.is_some(), fault.crash.is_some(), &["faults.*.crash"]),
            ("of", "`partition`", fault.of.is_some(), fault.partition.is_some(), &["faults.*.partition"]),
            ("to", "`cut`, `slow` or `lose_reply`", fault.to.is_some(), links || lost, LINKS_OR_LOST),
            ("direction", "`cut` or `slow`", fault.direction.is_some(), links, LINKS),
            ("links", "`cut` or `slow`", fault.links.is_some(), links, LINKS),
            ("mode", "`cut` or `partition`", fault.mode.is_some(), cuts, CUTS),
            ("in_flight", "`cut` or `partition`", fault.in_flight.is_some(), cuts, CUTS),
            (
                "delay",
                "`slow` or `slow_disk`",
                fault.delay.is_some(),
                slow || fault.slow_disk.is_some(),
                SLOW,
            ),
            ("bandwidth", "`slow`", fault.bandwidth.is_some(), slow, SLOW),
            ("bytes", "`fill`", fault.bytes.is_some(), fault.fill.is_some(), &["faults.*.fill"]),
            ("bits", "`rot`", fault.bits.is_some(), fault.rot.is_some(), &["faults.*.rot"]),
            (
                "page",
                "`fsync_error`",
                fault.page.is_some(),
                fault.fsync_error.is_some(),
                &["faults.*.fsync_error"],
            ),
            ("files", "fault of a disk", fault.files.is_some(), disk, DISK),
            ("count", "`lose_reply`", fault.count.is_some(), lost, LINKS_OR_LOST),
            ("by", "`jump`", fault.by.is_some(), fault.jump.is_some(), &["faults.*.jump"]),
            ("ppm", "`drift`", fault.ppm.is_some(), fault.drift.is_some(), &["faults.*.drift"]),
        ];
        for (key, deed, given, apt, hinges_on) in extras {
            if given && !apt {
                let message = format!("`{key}` says something only of a {deed}");
                flaws.add_if_read(hinges_on, self.path(key), message, "take it out");
            }
        }
        self.span(fault, flaws);
    }

    fn span(&self, fault: &Fault, flaws: &mut Flaws) {
        let administered = fault.expire.is_some() || fault.reconfig.is_some();
        if fault.lasts.is_some() && administered {
            let help = "take it out; a second fault may undo what it did";
            flaws.add(self.path("lasts"), "what an administrator does is not undone", help);
        }
        let is_done_at_once = fault.action().is_some_and(|action| action.is_done_at_once());
        if fault.lasts.is_some() && is_done_at_once && !administered {
            flaws.add(self.path("lasts"), "the fault is done at once and not undone", "take it out");
        }
        if fault.lasts == Some(Duration::ZERO) {
            let help = "leave it out for a fault that is never undone";
            flaws.add(self.path("lasts"), "the fault is over at once", help);
        }
        let lasts_max = self.scenario.duration.saturating_add(OUTLAST_MAX);
        if fault.lasts.is_some_and(|lasts| lasts > lasts_max) {
            let message =
                format!("the fault outlasts the scenario's end at {} by far", show(self.scenario.duration));
            let help = format!("at most {}; leave it out for a fault that is never undone", show(lasts_max));
            flaws.add_if_read(&["duration"], self.path("lasts"), message, help);
        }
        if fault.rolling.is_some() {
            self.rolling(fault, flaws);
        }
    }

    fn rolling(&self, fault: &Fault, flaws: &mut Flaws) {
        if fault.lasts.is_none() || fault.when.is_some() {
            let help = "give it `at` (or `every`, `rate`) and `lasts`";
            let message = "who is next is not known before the one before is back";
            flaws.add_if_read(&["faults.*.lasts"], self.path("rolling"), message, help);
        }
        let given = fault.targets().into_iter().find_map(|(key, target)| Some((key, target?)));
        if let Some((key, target)) = given
            && nemesis::fixed_hosts(self.scenario, target).is_empty()
        {
            let help = "one of `zookeeper`, `search`, `zone(a)`, `all`";
            flaws.add(self.path(key), format!("`{target}` is no list of hosts to go through"), help);
        }
    }

    fn figures(&self, fault: &Fault, flaws: &mut Flaws) {
        self.lateness(fault, flaws);
        let zeros = [
            ("bits", fault.bits == Some(0), "at least one"),
            ("count", fault.count == Some(0), "at least one"),
            ("bandwidth", fault.bandwidth == Some(0), "bytes a second; for none use `cut`"),
        ];
        for (key, _, help) in zeros.into_iter().filter(|(_, is_zero, _)| *is_zero) {
            flaws.add(self.path(key), format!("no `{key}` is no fault"), help);
        }
        if fault.bits.is_some_and(|bits| bits > 65_536) {
            flaws.add(
                self.path("bits"),
                "that is no rot, but loss",
                "at most 65536; for a lost disk use `wipe`",
            );
        }
        self.filling(fault, flaws);
        self.clocks(fault, flaws);
    }

    fn filling(&self, fault: &Fault, flaws: &mut Flaws) {
        if fault.fill.is_none() {
            return;
        }
        if fault.bytes.is_none_or(|bytes| bytes.0 == 0) {
            let help = "add `bytes = \"2mb\"`";
            let message = "the fault does not say how much it takes up";
            flaws.add_if_read(&["faults.*.bytes"], self.path("fill"), message, help);
        }
        let disks = &self.scenario.disks;
        if disks.capacity.is_none() && self.scenario.nodes.iter().all(|node| node.disk.is_none()) {
            let help = "add `capacity = \"8mb\"` to `[disks]`, or `disk = \"8mb\"` to one of `[[nodes]]`";
            let hinges_on = &["disks.capacity", "nodes.*.disk"];
            flaws.add_if_read(hinges_on, self.path("fill"), "no disk has a size, so that none fills", help);
        }
    }

    fn clocks(&self, fault: &Fault, flaws: &mut Flaws) {
        if fault.jump.is_some() && fault.by.is_none() {
            flaws.add_if_read(
                &["faults.*.by"],
                self.path("jump"),
                "the fault does not say how far",
                "add `by = \"5s\"` or `by = \"-5s\"`",
            );
        }
        if fault.drift.is_some() && fault.ppm.is_none() {
            flaws.add_if_read(
                &["faults.*.ppm"],
                self.path("drift"),
                "the fault does not say how fast",
                "add `ppm = 500` or `ppm = -500`",
            );
        }
        if fault.by.is_some_and(|by| by.0 == 0 || by.0.unsigned_abs() as u128 > JUMP_MAX.as_millis()) {
            flaws.add(self.path("by"), "a clock does not jump so far", "a millisecond to a day, either way");
        }
        if fault.ppm.is_some_and(|ppm| ppm == 0 || ppm.unsigned_abs() > DRIFT_MAX_PPM as u32) {
            let help = format!("at most {DRIFT_MAX_PPM} parts per million, either way");
            flaws.add(self.path("ppm"), "a clock does not run so", help);
        }
    }

    fn lateness(&self, fault: &Fault, flaws: &mut Flaws) {
        let help = "add `delay = { min = \"20ms\", mean = \"80ms\" }`";
        if fault.slow.is_some() && fault.delay.is_none() && fault.bandwidth.is_none() {
            let hinges_on = &["faults.*.delay", "faults.*.bandwidth"];
            flaws.add_if_read(
                hinges_on,
                self.path("slow"),
                "the fault does not say how late messages are",
                help,
            );
        }
        if fault.slow_disk.is_some() && fault.delay.is_none() {
            let delay = &["faults.*.delay"];
            flaws.add_if_read(
                delay,
                self.path("slow_disk"),
                "the fault does not say how long a sync takes",
                help,
            );
        }
        match fault.delay {
            Some(Spread { min, mean, .. }) if min > mean => {
                let help = format!("at most the mean, {mean:?}");
                flaws.add(self.path("delay.min"), "the least delay is longer than the mean", help);
            }
            Some(Spread { period: Some(Duration::ZERO), .. }) => {
                flaws.add(
                    self.path("delay.period"),
                    "nothing varies in no time",
                    "such as `period = \"10s\"`",
                );
            }
            _ => {}
        }
    }

    fn reconfiguration(&self, fault: &Fault, flaws: &mut Flaws) {
        let Some(change) = &fault.reconfig else { return };
        if !self.scenario.zookeeper.reconfig {
            let help = "add `reconfig = true` to `[zookeeper]`";
            let message = "this ensemble cannot be changed";
            flaws.add_if_read(&["zookeeper.reconfig"], self.path("reconfig"), message, help);
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
        let others = [
            ("to", fault.to.as_ref()),
            ("when.host", fault.when.as_ref().and_then(|when| when.host.as_ref())),
        ];
        let selectors: Vec<_> = fault.targets().into_iter().chain(others).collect();
        for (key, selector) in &selectors {
            if let Some(selector) = selector {
                self.target(key, selector, flaws);
            }
        }
        self.reconfiguration(fault, flaws);
        let waits = fault.when.is_some();
        let is_event_host =
            |(_, selector): &&(&str, Option<&Selector>)| *selector == Some(&Selector::EventHost);
        if let Some((key, _)) =
            selectors.iter().find(|one| is_event_host(one) && (!waits || one.0 == "when.host"))
        {
            let help = "name somebody else, or give the fault `when` without `host`";
            let message = "there is no event whose host could be meant";
            flaws.add_if_read(&["faults.*.when"], self.path(key), message, help);
        }
        if let Some(Selector::Random(group)) = fault.when.as_ref().and_then(|when| when.host.as_ref()) {
            let help = format!("name a host, or `{}`", Selector::from(group));
            flaws.add(self.path("when.host"), "an event is not waited for on a host that is drawn", help);
        }
        self.parts(fault, flaws);
    }

    /// A partition takes a group.
    fn parts(&self, fault: &Fault, flaws: &mut Flaws) {
        let is_group = fault.of.as_ref().is_none_or(|of| Group::of(of).is_some());
        if !is_group {
            let help = "one of `zookeeper`, `search`, `zone(a)`, `all`";
            flaws.add(self.path("of"), "one host does not fall into parts", help);
        }
    }

    fn heal(&self, fault: &Fault, flaws: &mut Flaws) {
        let Some(what) = &fault.heal else { return };
        let mut names = self.scenario.faults.iter().filter_map(|other| other.name.as_deref());
        if what != HEAL_ALL && !names.any(|name| name == what) {
            let help = "`all`, or the `name` of another fault";
            let message = format!("there is no fault named `{what}`");
            flaws.add_if_read(&["faults.*.name"], self.path("heal"), message, help);
        }
    }
}

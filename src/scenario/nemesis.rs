//! Nemesis — decides when a fault that repeats strikes, and which faults a swarm leaves in. It never decides what
//! a fault does.
//!
//! Everything is drawn from the seed when the plan is made, so that a plan lists each strike: a shrinker can leave
//! one out, and the others stay as they were.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    deeds::Fault,
    format::Scenario,
    make_plan,
    plan::{FaultAction, FaultStep, Selector, Trigger},
};
use crate::{core::Entropy, name::HostId};

/// The most strikes that one fault of a scenario file may come to.
pub const STRIKES_MAX: u32 = 1_000;

/// Which kinds of faults a run has, and how strong each is: drawn anew for each seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Swarm {
    /// How likely a kind of fault (`crash`, `cut` …) is in a run at all. Default 0.5.
    pub chance: f64,
    /// Between which factors a kind's strength is drawn: what repeats does so more often by it. Default 0.5 to 2.
    pub strength: [f64; 2],
}

impl Default for Swarm {
    fn default() -> Self {
        Self { chance: 0.5, strength: [0.5, 2.0] }
    }
}

/// The strikes of a scenario's faults, in the order of the file.
pub(super) fn strikes(scenario: &Scenario, seed: u64) -> Vec<FaultStep> {
    let one = |(nth, fault): (u64, &Fault)| {
        let action = fault.action();
        let strength = action.as_ref().and_then(|action| strength(scenario, seed, action.kind()));
        match (action, strength) {
            (Some(action), Some(strength)) => Repeated { scenario, seed, nth, strength }.all(fault, &action),
            _ => Vec::new(),
        }
    };
    (0..).zip(&scenario.faults).flat_map(one).collect()
}

/// How strong a kind of fault is in this run; none if it is left out.
fn strength(scenario: &Scenario, seed: u64, kind: &str) -> Option<f64> {
    let Some(swarm) = &scenario.swarm else { return Some(1.0) };
    let mut entropy = drawn(seed, "swarm", kind.as_bytes());
    let [weakest, strongest] = swarm.strength;
    // What ends faults is none.
    let is_in = unit(&mut entropy) < swarm.chance || kind == "heal";
    is_in.then(|| weakest + unit(&mut entropy) * (strongest - weakest))
}

fn drawn(seed: u64, question: &str, key: &[u8]) -> Entropy {
    Entropy::new(xxh3_64_with_seed(&[question.as_bytes(), b"/", key].concat(), seed))
}

/// A number in `[0, 1)`.
fn unit(entropy: &mut Entropy) -> f64 {
    (entropy.draw() >> 11) as f64 / (1_u64 << 53) as f64
}

/// One fault of the file in a run.
struct Repeated<'a> {
    scenario: &'a Scenario,
    seed: u64,
    /// Its number in the file.
    nth: u64,
    strength: f64,
}

impl Repeated<'_> {
    fn all(&self, fault: &Fault, action: &FaultAction) -> Vec<FaultStep> {
        let triggers = match make_plan::trigger(fault.at, fault.when.as_ref()) {
            Some(trigger) => vec![trigger],
            None => self.times(fault).into_iter().map(Trigger::At).collect(),
        };
        let strike = |(time, trigger): (u64, Trigger)| {
            let draw = fault.draw.or_else(|| leaves_a_choice(action).then(|| self.draw(time)));
            let (action, name) = (action.clone(), fault.name.clone());
            self.rolled(fault, FaultStep { trigger, action, lasts: fault.lasts, name, draw })
        };
        (0..).zip(triggers).flat_map(strike).collect()
    }

    fn draw(&self, time: u64) -> u32 {
        let key = [self.nth.to_le_bytes(), time.to_le_bytes()].concat();
        drawn(self.seed, "draw", &key).draw() as u32
    }

    /// When a fault that repeats strikes.
    fn times(&self, fault: &Fault) -> Vec<Duration> {
        let until = fault.until.unwrap_or(self.scenario.duration).min(self.scenario.duration);
        let most = fault.times.unwrap_or(STRIKES_MAX).min(STRIKES_MAX) as usize;
        let mut entropy = drawn(self.seed, "gap", &self.nth.to_le_bytes());
        let mean = match (fault.every, fault.rate) {
            (Some(every), _) => every.as_secs_f64() / self.strength,
            (None, Some(rate)) => 1.0 / (rate * self.strength),
            (None, None) => return Vec::new(),
        };
        let mut gap = || match fault.every {
            Some(_) => mean,
            None => -libm::log(1.0 - unit(&mut entropy)) * mean,
        };
        let from = fault.from.unwrap_or_default();
        let mut at =
            from.as_secs_f64() + if fault.every.is_some() && fault.from.is_some() { 0.0 } else { gap() };
        let mut times = Vec::new();
        while times.len() < most && at < until.as_secs_f64() {
            // Whole milliseconds are written and read as they are.
            times.push(Duration::from_millis((at * 1_000.0) as u64));
            at += gap().max(0.001);
        }
        times
    }

    /// One strike a host, if they are hit one after the other.
    fn rolled(&self, fault: &Fault, step: FaultStep) -> Vec<FaultStep> {
        let (Some(pause), Trigger::At(at), Some(lasts)) = (fault.rolling, &step.trigger, step.lasts) else {
            return vec![step];
        };
        let hosts = fault.targets().into_iter().find_map(|(_, target)| target);
        let hosts = hosts.map(|target| fixed_hosts(self.scenario, target)).unwrap_or_default();
        let one = |(turn, host): (u32, HostId)| FaultStep {
            trigger: Trigger::At(*at + (lasts + pause) * turn),
            action: aimed_at(&step.action, host),
            ..step.clone()
        };
        (0..).zip(hosts).map(one).collect()
    }
}

/// The hosts that a selector means whatever happens; none if that depends on the run.
pub(super) fn fixed_hosts(scenario: &Scenario, selector: &Selector) -> Vec<HostId> {
    let nodes = make_plan::nodes(scenario);
    let servers = scenario.cluster.zookeeper.saturating_add(scenario.zookeeper.observers);
    let servers = (1..=servers).map(HostId::zookeeper);
    match selector {
        Selector::Host(host) => vec![*host],
        Selector::AllZooKeeper => servers.collect(),
        Selector::AllSearch => nodes.iter().map(|node| node.host).collect(),
        Selector::All => servers.chain(nodes.iter().map(|node| node.host)).collect(),
        Selector::Zone(zone) => {
            nodes.iter().filter(|node| node.zone == *zone).map(|node| node.host).collect()
        }
        _ => Vec::new(),
    }
}

/// The same action on one host.
fn aimed_at(action: &FaultAction, host: HostId) -> FaultAction {
    let mut action = action.clone();
    match &mut action {
        FaultAction::Crash { target, .. }
        | FaultAction::Pause { target }
        | FaultAction::Wipe { target }
        | FaultAction::Cut { from: target, .. }
        | FaultAction::Slow { from: target, .. }
        | FaultAction::FailDisk { target, .. }
        | FaultAction::SlowDisk { target, .. }
        | FaultAction::Fill { target, .. }
        | FaultAction::JumpClock { target, .. }
        | FaultAction::DriftClock { target, .. } => *target = Selector::Host(host),
        _ => {}
    }
    action
}

/// Whether something is left to be drawn when it strikes.
fn leaves_a_choice(action: &FaultAction) -> bool {
    let is_random = |selector: &Selector| matches!(selector, Selector::Random(_));
    match action {
        FaultAction::Rot { .. } | FaultAction::Misdirect { .. } | FaultAction::Partition { .. } => true,
        FaultAction::FailDisk { .. } => true,
        FaultAction::Cut { from, to, .. } | FaultAction::Slow { from, to, .. } => {
            is_random(from) || to.as_ref().is_some_and(is_random)
        }
        FaultAction::LoseReply { target, to, .. } => is_random(target) || to.as_ref().is_some_and(is_random),
        FaultAction::Crash { target, .. }
        | FaultAction::Pause { target }
        | FaultAction::Wipe { target }
        | FaultAction::Expire { target }
        | FaultAction::SlowDisk { target, .. }
        | FaultAction::Fill { target, .. }
        | FaultAction::Disconnect { target }
        | FaultAction::JumpClock { target, .. }
        | FaultAction::DriftClock { target, .. } => is_random(target),
        FaultAction::Reconfigure { .. } | FaultAction::Heal { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::Group;

    const SECOND: Duration = Duration::from_secs(1);

    fn scenario(fault: Fault) -> Scenario {
        Scenario { title: "a".into(), duration: 60 * SECOND, faults: vec![fault], ..Default::default() }
    }

    fn repeated() -> Fault {
        Fault { crash: Some(Selector::Random(Group::Search)), lasts: Some(SECOND), ..Default::default() }
    }

    fn times(scenario: &Scenario, seed: u64) -> Vec<Duration> {
        let time = |step: &FaultStep| match step.trigger {
            Trigger::At(at) => at,
            Trigger::When { .. } => unreachable!("what repeats strikes at times"),
        };
        strikes(scenario, seed).iter().map(time).collect()
    }

    #[test]
    fn fault_repeats_within_its_span_and_number() {
        let every = Fault { every: Some(5 * SECOND), from: Some(10 * SECOND), ..repeated() };
        let seconds = |fault: &Fault| -> Vec<u64> {
            times(&scenario(fault.clone()), 1).iter().map(Duration::as_secs).collect()
        };
        assert_eq!(seconds(&Fault { until: Some(26 * SECOND), ..every.clone() }), [10, 15, 20, 25]);
        assert_eq!(seconds(&Fault { times: Some(2), ..every.clone() }), [10, 15]);
        assert_eq!(seconds(&every).len(), 10);
    }

    #[test]
    fn rate_is_met_on_average_and_differs_by_seed() {
        let scenario = scenario(Fault { rate: Some(0.5), ..repeated() });
        let counts: Vec<usize> = (0..40).map(|seed| times(&scenario, seed).len()).collect();
        let mean = counts.iter().sum::<usize>() as f64 / 40.0;
        assert!((25.0..35.0).contains(&mean), "{mean}");
        assert_ne!(times(&scenario, 1), times(&scenario, 2));
        assert_eq!(times(&scenario, 1), times(&scenario, 1));
    }

    #[test]
    fn each_strike_draws_its_own_target() {
        let steps = strikes(&scenario(Fault { every: Some(SECOND), ..repeated() }), 1);
        let draws: std::collections::BTreeSet<_> = steps.iter().map(|step| step.draw).collect();
        assert_eq!(draws.len(), steps.len());
    }

    #[test]
    fn rolling_fault_hits_one_host_after_the_other() {
        let at = Some(10 * SECOND);
        let crash = Some(Selector::AllSearch);
        let steps = strikes(&scenario(Fault { at, crash, rolling: Some(2 * SECOND), ..repeated() }), 1);
        let hit: Vec<_> = steps.iter().map(|step| (step.trigger.clone(), step.action.clone())).collect();
        let wanted = (0..3).map(|turn| {
            let target = Selector::Host(HostId::search(turn as u16 + 1));
            let at = (10 + 3 * turn) * SECOND;
            (Trigger::At(at), FaultAction::Crash { target, power: false })
        });
        assert_eq!(hit, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn swarm_leaves_kinds_in_and_out() {
        let mut scenario = scenario(Fault { every: Some(SECOND), ..repeated() });
        scenario.swarm = Some(Swarm::default());
        let counts: Vec<usize> = (0..100).map(|seed| strikes(&scenario, seed).len()).collect();
        let without = counts.iter().filter(|count| **count == 0).count();
        assert!((30..70).contains(&without), "{without}");
        let strengths: std::collections::BTreeSet<_> =
            counts.into_iter().filter(|count| *count > 0).collect();
        assert!(strengths.len() > 10 && *strengths.last().unwrap() <= 120, "{strengths:?}");
    }
}

//! Planned faults — decides what the plan adds to what a record says of a fault, which it knows by its number. It never
//! decides what a fault does.

use crate::{
    check::verdict::listed,
    name::HostId,
    scenario::plan::{FaultAction, FaultStep, Plan, Trigger},
    sim::fault::describe,
};

/// The faults of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct Planned<'a>(&'a [FaultStep]);

/// Whether a fault takes away what a host is for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Force {
    /// It does not.
    Never,
    /// It can at most make it weaker: what is slow or runs astray still works.
    Hardly,
    /// It may: links and disks can be bad enough.
    Maybe,
    /// It does, unless it is over soon.
    Surely,
}

impl<'a> Planned<'a> {
    /// Those of this plan.
    pub fn of(plan: &'a Plan) -> Self {
        Self(&plan.faults)
    }

    fn step(self, step: u32) -> Option<&'a FaultStep> {
        self.0.get(step as usize)
    }

    /// Whether it was a deed, with nothing to undo: its end is no news.
    pub fn is_deed(self, step: u32) -> bool {
        self.step(step).is_some_and(|fault| fault.action.is_done_at_once())
    }

    /// What it does to the offices of its hosts; of one that the plan does not know, nobody can tell.
    pub fn force(self, step: u32) -> Force {
        self.step(step).map_or(Force::Maybe, |fault| force(&fault.action))
    }

    /// What was missed: `why` names the fault already, or says only that its event never came.
    pub fn missed(self, step: u32, why: &str) -> String {
        match self.step(step).map(|fault| (describe(&fault.action), &fault.trigger)) {
            Some((what, _)) if why.starts_with(&what) => why.to_owned(),
            Some((what, Trigger::When { event, host, nth, .. })) => {
                let host = host.as_ref().map_or(String::new(), |host| format!(" on {host}"));
                let nth = if *nth > 1 { format!(", number {nth}") } else { String::new() };
                format!("{what}: {why} ({event}{host}{nth})")
            }
            Some((what, Trigger::At(_))) => format!("{what}: {why}"),
            None => why.to_owned(),
        }
    }
}

fn force(action: &FaultAction) -> Force {
    match action {
        FaultAction::Crash { .. }
        | FaultAction::Pause { .. }
        | FaultAction::Wipe { .. }
        | FaultAction::Expire { .. } => Force::Surely,
        FaultAction::Cut { .. }
        | FaultAction::Partition { .. }
        | FaultAction::Reconfigure { .. }
        | FaultAction::Rot { .. }
        | FaultAction::Misdirect { .. }
        | FaultAction::FailDisk { .. }
        | FaultAction::Disconnect { .. } => Force::Maybe,
        FaultAction::Slow { .. }
        | FaultAction::SlowDisk { .. }
        | FaultAction::Fill { .. }
        | FaultAction::DriftClock { .. } => Force::Hardly,
        // Nobody's timers go by the wall clock, and a client that loses an answer asks again.
        FaultAction::JumpClock { .. } | FaultAction::LoseReply { .. } | FaultAction::Heal { .. } => {
            Force::Never
        }
    }
}

/// The hosts that a fault has hit, unless its words name them.
pub(super) fn struck(what: &str, hosts: &[HostId]) -> Option<String> {
    const SHOWN: usize = 6;
    let is_word = |host: &HostId| {
        let name = host.to_string();
        what.split(|char: char| !(char.is_alphanumeric() || char == '-')).any(|word| word == name)
    };
    (!hosts.iter().all(is_word)).then(|| listed(hosts.iter().map(ToString::to_string), SHOWN))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::plan::Selector;

    fn step(trigger: Trigger, action: FaultAction) -> FaultStep {
        FaultStep { trigger, action, lasts: None, name: None, draw: None }
    }

    fn crash() -> FaultAction {
        FaultAction::Crash { target: Selector::ZkLeader, power: false }
    }

    #[test]
    fn missed_fault_is_named_with_the_event_it_waited_for() {
        let when = Trigger::When {
            event: "TxnLogged".into(),
            host: Some(Selector::Host(HostId::zookeeper(2))),
            nth: 900,
            after: Duration::ZERO,
        };
        let faults = [step(when, crash()), step(Trigger::At(Duration::ZERO), crash())];
        let planned = Planned(&faults);
        assert_eq!(
            planned.missed(0, "its event never came"),
            "crash of zk-leader: its event never came (TxnLogged on zk-2, number 900)"
        );
        let why = "crash of zk-leader: nobody to hit";
        assert_eq!((planned.missed(1, why), planned.missed(9, why)), (why.to_owned(), why.to_owned()));
    }

    #[test]
    fn deeds_are_told_from_what_is_undone() {
        let expire = FaultAction::Expire { target: Selector::Controller };
        let faults = [crash(), expire].map(|action| step(Trigger::At(Duration::ZERO), action));
        let planned = Planned(&faults);
        assert_eq!([0, 1, 2].map(|step| planned.is_deed(step)), [false, true, false]);
    }

    #[test]
    fn jump_of_a_clock_deposes_nobody() {
        let jump = FaultAction::JumpClock { target: Selector::ZkLeader, by_ms: 60_000 };
        let faults = [crash(), jump].map(|action| step(Trigger::At(Duration::ZERO), action));
        let planned = Planned(&faults);
        assert_eq!([0, 1, 2].map(|step| planned.force(step)), [Force::Surely, Force::Never, Force::Maybe]);
    }

    #[test]
    fn hosts_are_named_that_the_words_leave_open() {
        let hosts: Vec<HostId> = (1..=3).map(HostId::zookeeper).collect();
        assert_eq!(struck("crash of zk-1", &hosts[..1]), None);
        assert_eq!(struck("crash of zk-11", &hosts[..1]).as_deref(), Some("zk-1"));
        assert_eq!(struck("crash of majority(zookeeper)", &hosts).as_deref(), Some("zk-1, zk-2, zk-3"));
        assert_eq!(struck("heal of all", &[]), None);
    }
}

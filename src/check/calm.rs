//! Calm — decides whether a run gave its cluster the time to settle that the timeouts allow it. It never
//! says whether the cluster used it.
//!
//! The bound is derived (`RunStarted.settle_bound`, and for how long servers may look for a leader that is there), never a
//! magic number. It counts from the last thing that disturbed the cluster from outside: a fault's or an administrative
//! step's begin or end, the end of what the plan sets up, a host's first start, the start of the run. A process that ends
//! by its own decision and is started again disturbs nobody but itself: else a cluster that restarts for ever would never
//! be judged.

use std::time::Duration;

use crate::{
    check::{
        hosts::Hosts,
        verdict::{Judged, Point, broken, clock, undecided},
    },
    event::{Event, EventKind, Lookers},
    name::SimTime,
};

/// The state of the run's disturbances, and of its hosts.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// Who is alive.
    pub(super) hosts: Hosts,
    bound: Option<u64>,
    lookers: Lookers,
    disturbed: SimTime,
    /// For how long servers that looked for a leader then may go on.
    patience: Duration,
    by: String,
    quiet: bool,
    ended: Option<Point>,
}

impl Calm {
    /// Reads the next event. Whether it disturbed the cluster.
    pub(super) fn observe(&mut self, event: &Event) -> bool {
        self.hosts.observe(event);
        self.lookers.observe(event);
        match &event.kind {
            EventKind::RunStarted { settle_bound, .. } => {
                self.bound = Some(*settle_bound);
                self.disturb(event, || "the start of the run".into())
            }
            EventKind::FaultBegan { what, .. } => {
                self.disturb(event, || format!("the beginning of `{what}`"))
            }
            EventKind::FaultEnded { what, .. } => self.disturb(event, || format!("the end of `{what}`")),
            EventKind::SetupFailed { what, .. }
            | EventKind::StepBegan { what, .. }
            | EventKind::StepEnded { what, .. } => self.disturb(event, || format!("the {what}")),
            EventKind::HostStarted { incarnation: 0 | 1 } => self.disturb(event, || match event.host {
                Some(host) => format!("the first start of {host}"),
                None => "a first start".into(),
            }),
            EventKind::QuietBegan => {
                self.quiet = true;
                false
            }
            EventKind::RunEnded => {
                self.ended = Some(event.into());
                false
            }
            _ => false,
        }
    }

    fn disturb(&mut self, event: &Event, by: impl FnOnce() -> String) -> bool {
        (self.disturbed, self.by) = (event.at, by());
        self.patience = self.lookers.patience(event.at);
        true
    }

    /// When the cluster must have settled, unless it is disturbed again.
    pub(super) fn due(&self) -> Option<SimTime> {
        self.bound().map(|bound| SimTime(self.disturbed.0.saturating_add(bound)))
    }

    /// How long the cluster may take to settle, in nanoseconds.
    pub(super) fn bound(&self) -> Option<u64> {
        self.bound.map(|bound| bound.saturating_add(self.patience.as_nanos() as u64))
    }

    /// The same, for people.
    pub(super) fn due_text(&self) -> String {
        let bound = Duration::from_nanos(self.bound().unwrap_or_default());
        format!(
            "due at {}: {:.3} s after {} at {}",
            clock(self.due().unwrap_or_default()),
            bound.as_secs_f64(),
            self.by,
            clock(self.disturbed)
        )
    }

    /// The judgement of what is wrong at the end of the run, if anything is, and where it shows: undecided while
    /// links are cut.
    ///
    /// # Errors
    ///
    /// Undecided also if the record does not reach the end.
    pub(super) fn judge_end(&self, wrong: impl FnOnce(Point) -> Option<(Point, String)>) -> Judged {
        match (wrong(self.end()?), self.hosts.cut_links()) {
            (None, _) => Ok(()),
            (Some(_), Some(links)) => undecided(format!("links are still cut at the end: {links}")),
            (Some((at, why)), None) => broken(at, why),
        }
    }

    /// The end of the run, if the record reaches it.
    ///
    /// # Errors
    ///
    /// Undecided if it does not.
    pub(super) fn end(&self) -> Result<Point, super::verdict::Verdict> {
        match self.ended {
            Some(end) => Ok(end),
            None => Err(undecided("the record stops before the run has ended").unwrap_err()),
        }
    }

    /// Whether the run went on for long enough after its last disturbance: undecided if not.
    pub(super) fn is_long_enough(&self) -> Judged {
        let end = self.end()?;
        match self.due() {
            None => undecided("the record does not say how long the cluster may take to settle"),
            Some(due) if end.at < due => {
                undecided(format!("the run ended at {}; settling is {}", clock(end.at), self.due_text()))
            }
            Some(_) => Ok(()),
        }
    }

    /// The same, and the workload had stopped, so that nothing more was under way.
    pub(super) fn is_quiet(&self) -> Judged {
        self.is_long_enough()?;
        if self.quiet { Ok(()) } else { undecided("the workload had not stopped when the run ended") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, search},
        event::EventKind as E,
    };

    fn after(record: &Record) -> Calm {
        let mut calm = Calm::default();
        record.events.iter().for_each(|event| _ = calm.observe(event));
        calm
    }

    /// A run with a bound of one second that began at 1 ms, and whatever happened a second later.
    fn run(later: E) -> Record {
        let (servers, nodes, scenario) = (vec![], vec![search(1)], "calm".to_owned());
        let started = E::RunStarted {
            scenario,
            seed: 1,
            servers,
            nodes,
            copies: 0,
            settle_bound: 1_000_000_000,
            read_policy: "any".into(),
            allocator: "balanced".into(),
        };
        let mut record = Record::default();
        record.world(started).wait(999).on(search(1), later);
        record
    }

    #[test]
    fn faults_and_first_starts_put_the_deadline_off() {
        let disturbances = [
            E::FaultBegan { step: 0, what: "a crash".into(), hosts: vec![] },
            E::FaultEnded { step: 0, what: "a crash".into() },
            E::HostStarted { incarnation: 1 },
        ];
        for disturbance in disturbances {
            assert_eq!(after(&run(disturbance)).due(), Some(SimTime(2_001_000_000)));
        }
    }

    #[test]
    fn restarts_and_missed_faults_do_not_put_the_deadline_off() {
        for event in [E::HostStarted { incarnation: 2 }, E::FaultMissed { step: 0, what: "nobody".into() }] {
            assert_eq!(after(&run(event)).due(), Some(SimTime(1_001_000_000)));
        }
    }

    #[test]
    fn server_that_has_long_looked_for_a_leader_may_ask_late() {
        let mut record = run(E::HostResumed);
        record.on(crate::check::record::zk(1), E::ElectionStarted { round: 1 }).wait(3_000);
        record.world(E::FaultEnded { step: 0, what: "a cut".into() });
        let at = record.events.last().unwrap().at;
        let due = after(&record).due().unwrap();
        let waited = due.since_start() - at.since_start();
        assert!(waited > Duration::from_secs(4) && waited < Duration::from_millis(4_400), "{waited:?}");
    }

    #[test]
    fn run_is_long_enough_from_the_deadline_on() {
        for (millis, is_enough) in [(0, true), (1, false)] {
            let mut record = run(E::FaultEnded { step: 0, what: "a cut".into() });
            record.wait(999 - millis).world(E::RunEnded);
            assert_eq!(after(&record).is_long_enough().is_ok(), is_enough);
        }
    }
}

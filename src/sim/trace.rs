//! Trace — decides how a run is recorded: every event in order, hashed as it comes. It never leaves one out.

use madsim::time::TimeHandle;

use crate::{
    event::{Event, EventKind, Fingerprint},
    name::{HostId, SimTime},
    scenario::plan::{Plan, Selector, Trigger},
    sim::{inbox::elapsed, roles::Roles},
};

/// The event record of a run under way.
pub struct Recorder {
    time: TimeHandle,
    events: Vec<Event>,
    fingerprint: Fingerprint,
    messages: u64,
    roles: Roles,
    triggers: Vec<Armed>,
}

/// Something planned that an event sets off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// This fault.
    Fault(u32),
    /// This administrative step.
    Step(u32),
}

/// A fault or a step that waits for an event.
#[derive(Debug)]
struct Armed {
    due: Due,
    event: String,
    host: Option<Selector>,
    left: u32,
    after: SimTime,
}

impl Recorder {
    /// An empty record that watches for the events that the plan's faults and steps wait for.
    pub fn new(time: TimeHandle, roles: Roles, plan: &Plan) -> Self {
        let armed = |(due, trigger): (Due, &Trigger)| match trigger {
            Trigger::At(_) => None,
            Trigger::When { event, host, nth, after } => Some(Armed {
                due,
                event: event.clone(),
                host: host.clone(),
                left: *nth,
                after: SimTime::from(*after),
            }),
        };
        let faults = (0..).map(Due::Fault).zip(plan.faults.iter().map(|fault| &fault.trigger));
        let steps = (0..).map(Due::Step).zip(plan.steps.iter().map(|step| &step.trigger));
        let triggers = faults.chain(steps).filter_map(armed).collect();
        Self { time, events: Vec::new(), fingerprint: Fingerprint::default(), messages: 0, roles, triggers }
    }

    /// Records an event. Returns the faults and steps that it triggers.
    pub fn record(&mut self, host: Option<HostId>, kind: EventKind) -> Vec<Due> {
        let event = Event { seq: self.events.len() as u64, at: elapsed(&self.time), host, kind };
        self.fingerprint.add(&event);
        self.messages += u64::from(matches!(event.kind, EventKind::Delivered { .. }));
        self.roles.observe(&event);
        let struck = self.struck_by(&event);
        self.events.push(event);
        struck
    }

    fn struck_by(&mut self, event: &Event) -> Vec<Due> {
        if self.triggers.is_empty() {
            return Vec::new();
        }
        let mut struck = Vec::new();
        for armed in &mut self.triggers {
            if armed.left > 0 && armed.matches(event, &self.roles) {
                armed.left -= 1;
                if armed.left == 0 {
                    struck.push(armed.due);
                }
            }
        }
        struck
    }

    /// Nothing is triggered from now on. Returns the faults and steps that never were.
    pub fn disarm(&mut self) -> Vec<Due> {
        let triggers = std::mem::take(&mut self.triggers);
        triggers.into_iter().filter(|armed| armed.left > 0).map(|armed| armed.due).collect()
    }

    /// Who plays which part now.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Events so far.
    pub fn recorded(&self) -> u64 {
        self.events.len() as u64
    }

    /// Messages that arrived so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Takes the record out: events and fingerprint.
    pub fn finish(&mut self) -> (Vec<Event>, u128) {
        (std::mem::take(&mut self.events), self.fingerprint.value())
    }
}

impl Armed {
    fn matches(&self, event: &Event, roles: &Roles) -> bool {
        let host_matches = || match (&self.host, event.host) {
            (None, _) => true,
            (Some(selector), Some(host)) => roles.resolve(selector).contains(&host),
            (Some(_), None) => false,
        };
        event.at >= self.after && self.event == event.kind.name() && host_matches()
    }
}

//! Faults — decides how a planned fault becomes switches on hosts and links, and how they are turned back. It
//! never decides when.

use std::collections::BTreeMap;

use crate::{
    event::EventKind,
    name::{HostId, SimTime},
    scenario::plan::{CutMode, Direction, FaultAction, Selector},
    sim::world::World,
};

/// Something for the world to do at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Start this host's process.
    Start(HostId),
    /// A planned fault strikes.
    Strike(u32),
    /// A fault is undone.
    Undo(u32),
}

/// The faults under way.
#[derive(Debug, Default)]
pub struct Faults {
    /// What each did, to be undone.
    under_way: BTreeMap<u32, Vec<Switch>>,
    /// When the last one struck or was undone, or a host started.
    last: SimTime,
    /// When the last one that is under way will be undone.
    open: SimTime,
}

/// One switch that was turned.
#[derive(Debug, Clone, Copy)]
enum Switch {
    Stopped(HostId),
    Paused(HostId, u32),
    Cut(HostId, HostId),
}

impl Faults {
    /// When the last fault struck or was undone or a host started, and when the last open one will be.
    pub fn last_change(&self) -> (SimTime, SimTime) {
        (self.last, self.open)
    }

    /// Something changed that the cluster has to settle after: a fault, its end, a host that starts.
    pub fn last_change_is(&mut self, at: SimTime) {
        self.last = self.last.max(at);
    }

    /// Whether a fault keeps this host's process from running: no supervisor may start it.
    pub fn holds_down(&self, host: HostId) -> bool {
        let stops = |switch: &Switch| matches!(switch, Switch::Stopped(stopped) if *stopped == host);
        self.under_way.values().flatten().any(stops)
    }
}

impl World {
    /// A planned fault strikes.
    pub fn strike(&self, step: u32) {
        let fault = self.plan().faults[step as usize].clone();
        let now = self.now();
        let hosts = self.targets(&fault.action);
        if hosts.is_empty() {
            let what = format!("{}: nobody to hit", describe(&fault.action));
            self.record(None, EventKind::FaultMissed { step, what });
            return;
        }
        self.faults().last_change_is(now);
        if let Some(lasts) = fault.lasts {
            let end = SimTime::from(now.since_start() + lasts);
            let mut faults = self.faults();
            faults.open = faults.open.max(end);
            drop(faults);
            self.plan_chore(end, Chore::Undo(step));
        }
        let what = describe(&fault.action);
        self.record(None, EventKind::FaultBegan { step, what, hosts: hosts.clone() });
        self.turn(step, &fault.action, &hosts);
    }

    /// Whom a fault would hit now.
    fn targets(&self, action: &FaultAction) -> Vec<HostId> {
        let roles = self.roles();
        match action {
            FaultAction::Crash { target, .. } | FaultAction::Pause { target } => {
                let up = |host: &HostId| self.is_up(*host);
                roles.resolve(target).into_iter().filter(up).collect()
            }
            FaultAction::Cut { from, .. } => roles.resolve(from),
        }
    }

    fn turn(&self, step: u32, action: &FaultAction, hosts: &[HostId]) {
        match action {
            FaultAction::Crash { power, .. } => {
                for host in hosts {
                    self.turned(step, Switch::Stopped(*host));
                    self.crash(*host, *power);
                }
            }
            FaultAction::Pause { .. } => {
                for host in hosts {
                    self.turned(step, Switch::Paused(*host, self.incarnation(*host)));
                    self.pause(*host);
                }
            }
            FaultAction::Cut { to, direction, mode, .. } => {
                for (from, to) in self.cut_pairs(hosts, to.as_ref(), *direction) {
                    self.turned(step, Switch::Cut(from, to));
                    self.cut(step, from, to, *mode);
                }
            }
        }
    }

    fn turned(&self, step: u32, switch: Switch) {
        self.faults().under_way.entry(step).or_default().push(switch);
    }

    fn cut_pairs(
        &self,
        from: &[HostId],
        to: Option<&Selector>,
        direction: Direction,
    ) -> Vec<(HostId, HostId)> {
        let others = match to {
            Some(to) => self.roles().resolve(to),
            None => self.servers_and_nodes(),
        };
        let mut pairs = Vec::new();
        for (a, b) in from.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
            if from.contains(&b) {
                continue;
            }
            if direction != Direction::Incoming {
                pairs.push((a, b));
            }
            if direction != Direction::Outgoing {
                pairs.push((b, a));
            }
        }
        pairs
    }

    /// Everybody but clients: a cut is of the cluster's network; clients have their own way in.
    fn servers_and_nodes(&self) -> Vec<HostId> {
        let nodes = self.plan().nodes.iter().map(|node| node.host);
        self.plan().zookeeper.servers.iter().copied().chain(nodes).collect()
    }

    fn cut(&self, step: u32, from: HostId, to: HostId, mode: CutMode) {
        self.net().cut(from, to, step, mode);
        self.record(None, EventKind::LinkCut { from, to });
    }

    /// A fault is undone.
    pub fn undo(&self, step: u32) {
        let switches = self.faults().under_way.remove(&step).unwrap_or_default();
        self.faults().last_change_is(self.now());
        for switch in switches {
            match switch {
                Switch::Stopped(host) => self.start(host),
                Switch::Paused(host, incarnation) => {
                    if self.is_up(host) && self.incarnation(host) == incarnation {
                        self.resume(host);
                    }
                }
                Switch::Cut(from, to) => {
                    if self.net().heal(from, to, step) {
                        self.record(None, EventKind::LinkHealed { from, to });
                    }
                }
            }
        }
        let what = describe(&self.plan().faults[step as usize].action);
        self.record(None, EventKind::FaultEnded { step, what });
    }
}

/// What a fault is, for people.
pub fn describe(action: &FaultAction) -> String {
    match action {
        FaultAction::Crash { target, power: true } => format!("power loss of {target}"),
        FaultAction::Crash { target, power: false } => format!("crash of {target}"),
        FaultAction::Pause { target } => format!("pause of {target}"),
        FaultAction::Cut { from, to, direction, mode } => {
            let way = match direction {
                Direction::Both => "between",
                Direction::Outgoing => "out of",
                Direction::Incoming => "into",
            };
            let to = to.as_ref().map_or("all others".to_owned(), ToString::to_string);
            let kind = if *mode == CutMode::Reset { "resetting cut" } else { "cut" };
            format!("{kind} {way} {from} and {to}")
        }
    }
}

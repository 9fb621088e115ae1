//! Faults — decides how a planned fault becomes switches on hosts and links, and how they are turned back. It
//! never decides when.

use std::collections::BTreeMap;

use crate::{
    core::ConnId,
    event::EventKind,
    name::{HostId, SimTime},
    scenario::plan::{CutMode, Direction, FaultAction, Selector},
    sim::{net::Arrival, wire::Wire, world::World},
    workload::administrator::Order,
};

/// What administrators and operators are told comes by no connection.
pub(super) const ORDERS: ConnId = ConnId(u64::MAX);

/// Something for the world to do at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Start this host's process.
    Start(HostId),
    /// A planned fault strikes.
    Strike(u32),
    /// A fault is undone.
    Undo(u32),
    /// An administrative step is due.
    Step(u32),
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
    Slow(HostId, HostId),
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
    /// A planned fault strikes; `at` is the host of the event that it waited for.
    pub fn strike(&self, step: u32, at: Option<HostId>) {
        let fault = self.plan().faults[step as usize].clone();
        let now = self.now();
        let hosts = self.targets(&fault.action, at);
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
        self.turn(step, &fault.action, &hosts, at);
    }

    /// Whom a fault would hit now.
    fn targets(&self, action: &FaultAction, at: Option<HostId>) -> Vec<HostId> {
        match action {
            FaultAction::Crash { target, .. } | FaultAction::Pause { target } => {
                let up = |host: &HostId| self.is_up(*host);
                self.meant(target, at).into_iter().filter(up).collect()
            }
            FaultAction::Cut { from, .. } | FaultAction::Slow { from, .. } => self.meant(from, at),
            FaultAction::Wipe { target } => self.meant(target, at),
            FaultAction::Expire { target } => {
                let roles = self.roles();
                let has_session = |host: &HostId| roles.session(*host).is_some();
                self.meant(target, at).into_iter().filter(has_session).collect()
            }
            FaultAction::Reconfigure { change } => {
                let all = change.joining.iter().chain(&change.observing).chain(&change.leaving);
                all.flat_map(|selector| self.meant(selector, at)).collect()
            }
        }
    }

    /// The hosts that a selector means now.
    pub(super) fn meant(&self, selector: &Selector, at: Option<HostId>) -> Vec<HostId> {
        match selector {
            Selector::EventHost => at.into_iter().collect(),
            selector => self.roles().resolve(selector),
        }
    }

    fn turn(&self, step: u32, action: &FaultAction, hosts: &[HostId], at: Option<HostId>) {
        match action {
            FaultAction::Crash { power, .. } => {
                for host in hosts {
                    self.turned(step, Switch::Stopped(*host));
                    self.crash(*host, *power);
                }
            }
            FaultAction::Wipe { .. } => {
                for host in hosts {
                    self.turned(step, Switch::Stopped(*host));
                    self.wipe(*host);
                }
            }
            FaultAction::Pause { .. } => {
                for host in hosts {
                    self.turned(step, Switch::Paused(*host, self.incarnation(*host)));
                    self.pause(*host);
                }
            }
            FaultAction::Cut { to, direction, mode, .. } => {
                for (from, to) in self.pairs(hosts, to.as_ref(), *direction, at) {
                    self.turned(step, Switch::Cut(from, to));
                    self.cut(step, from, to, *mode);
                }
            }
            FaultAction::Slow { to, direction, delay, .. } => {
                for (from, to) in self.pairs(hosts, to.as_ref(), *direction, at) {
                    self.turned(step, Switch::Slow(from, to));
                    self.net().slow(from, to, step, *delay);
                }
            }
            FaultAction::Expire { .. } => {
                let roles = self.roles();
                for session in hosts.iter().filter_map(|host| roles.session(*host)) {
                    self.order(Order::Expire { session });
                }
                self.done_at_once(step, action);
            }
            FaultAction::Reconfigure { change } => {
                let named = |list: &[Selector]| -> Vec<HostId> {
                    list.iter().flat_map(|selector| self.meant(selector, at)).collect()
                };
                self.order(Order::Reconfigure {
                    joining: named(&change.joining),
                    observing: named(&change.observing),
                    leaving: named(&change.leaving),
                });
                self.done_at_once(step, action);
            }
        }
    }

    /// The administrator is told what to do.
    pub(super) fn order(&self, order: Order) {
        if let Some(host) = self.plan().administrator().filter(|host| self.is_up(*host)) {
            self.tell(host, Wire::Order(order));
        }
    }

    /// Somebody is told something by whoever plans the run.
    pub(super) fn tell(&self, host: HostId, message: Wire) {
        let arrival = Arrival::Message { conn: ORDERS, from: host, message, sent: self.recorded() };
        self.net().push_local(host, self.now(), arrival);
    }

    fn done_at_once(&self, step: u32, action: &FaultAction) {
        self.record(None, EventKind::FaultEnded { step, what: describe(action) });
    }

    fn turned(&self, step: u32, switch: Switch) {
        self.faults().under_way.entry(step).or_default().push(switch);
    }

    fn pairs(
        &self,
        from: &[HostId],
        to: Option<&Selector>,
        direction: Direction,
        at: Option<HostId>,
    ) -> Vec<(HostId, HostId)> {
        let others = match to {
            Some(to) => self.meant(to, at),
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
        self.plan().servers().chain(nodes).collect()
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
                Switch::Slow(from, to) => self.net().hasten(from, to, step),
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
        FaultAction::Wipe { target } => format!("loss of the disk of {target}"),
        FaultAction::Cut { from, to, direction, mode } => {
            let kind = if *mode == CutMode::Reset { "resetting cut" } else { "cut" };
            format!("{kind} {}", between(from, to.as_ref(), *direction))
        }
        FaultAction::Slow { from, to, direction, .. } => {
            format!("slow links {}", between(from, to.as_ref(), *direction))
        }
        FaultAction::Expire { target } => format!("end of the session of {target}"),
        FaultAction::Reconfigure { change } => {
            let parts = [
                ("joining", &change.joining),
                ("observing", &change.observing),
                ("leaving", &change.leaving),
            ];
            let part = |(what, list): &(&str, &Vec<Selector>)| {
                let names: Vec<_> = list.iter().map(ToString::to_string).collect();
                (!names.is_empty()).then(|| format!("{what} {}", names.join(" ")))
            };
            let parts: Vec<_> = parts.iter().filter_map(part).collect();
            format!("reconfiguration: {}", parts.join(", "))
        }
    }
}

fn between(from: &Selector, to: Option<&Selector>, direction: Direction) -> String {
    let way = match direction {
        Direction::Both => "between",
        Direction::Outgoing => "out of",
        Direction::Incoming => "into",
    };
    let to = to.map_or("all others".to_owned(), ToString::to_string);
    format!("{way} {from} and {to}")
}

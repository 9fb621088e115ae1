//! Faults — decides how a planned fault becomes switches on hosts and links, and how they are turned back. It
//! never decides when.

mod budget;
mod parts;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use self::words::describe;
use crate::{
    core::{ConnId, FileName},
    event::EventKind,
    name::{AllocationId, HostId, SimTime},
    scenario::{
        dice::{FAULT_DISK, FAULT_TARGET, Question},
        plan::{Delay, FaultAction, HEAL_ALL, Selector},
    },
    sim::{
        dice::Die,
        net::{Arrival, Cut, Slow},
        wire::Wire,
        world::World,
    },
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
    /// How slow disks are, by which fault; the newest last.
    slow_disks: Vec<(u32, HostId, Delay)>,
    /// Copies whose files may not be what was written, or gone.
    damaged: BTreeSet<AllocationId>,
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
    Disk(HostId),
    SlowDisk(HostId),
    Jumped(HostId, i64),
    Drifts(HostId, i64),
}

/// A fault that strikes.
pub(super) struct Strike {
    /// Its number in the plan.
    step: u32,
    /// The host of the event that it waited for.
    at: Option<HostId>,
    /// Which of all possible ones it is.
    draw: u32,
}

impl Faults {
    /// From when on the cluster can settle after the last fault, its end or a start, and when the last open one will be
    /// undone.
    pub fn last_change(&self) -> (SimTime, SimTime) {
        (self.last, self.open)
    }

    /// Something changed that the cluster has to settle after, from then on: a fault, its end, a host that starts.
    pub fn last_change_is(&mut self, at: SimTime) {
        self.last = self.last.max(at);
    }

    /// How long syncs take on a slow disk.
    pub fn slow_disk(&self, host: HostId) -> Option<Delay> {
        self.slow_disks.iter().rev().find(|(_, slow, _)| *slow == host).map(|(_, _, delay)| *delay)
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
        let strike = Strike { step, at, draw: fault.draw.unwrap_or(step) };
        let now = self.now();
        let hosts = self.targets(&fault.action, &strike);
        let missed = match hosts.is_empty() && !matches!(fault.action, FaultAction::Heal { .. }) {
            true => Some("nobody to hit".to_owned()),
            false => self.beyond_budget(&fault.action, &hosts, &strike),
        };
        if let Some(why) = missed {
            let what = format!("{}: {why}", describe(&fault.action));
            self.record(None, EventKind::FaultMissed { step, what });
            return;
        }
        self.note_change();
        if let Some(lasts) = fault.lasts {
            let end = SimTime::from(now.since_start() + lasts);
            let mut faults = self.faults();
            faults.open = faults.open.max(end);
            drop(faults);
            self.plan_chore(end, Chore::Undo(step));
        }
        let what = describe(&fault.action);
        self.faults().under_way.entry(step).or_default();
        self.record(None, EventKind::FaultBegan { step, what: what.clone(), hosts: hosts.clone() });
        self.turn(&strike, &fault.action, &hosts);
        if fault.action.is_done_at_once() {
            self.faults().under_way.remove(&step);
            self.record(None, EventKind::FaultEnded { step, what });
        }
    }

    /// Whom a fault would hit now.
    fn targets(&self, action: &FaultAction, strike: &Strike) -> Vec<HostId> {
        let meant = |target: &Selector| self.meant(target, strike);
        match action {
            FaultAction::Crash { target, .. } | FaultAction::Pause { target } => {
                let up = |host: &HostId| self.is_up(*host);
                meant(target).into_iter().filter(up).collect()
            }
            FaultAction::Cut { from, .. } | FaultAction::Slow { from, .. } => meant(from),
            FaultAction::Partition { shape, of, .. } => {
                parts::ends_of(&self.separated(*shape, &meant(of), strike))
            }
            FaultAction::Wipe { target }
            | FaultAction::Rot { target, .. }
            | FaultAction::Misdirect { target, .. }
            | FaultAction::FailDisk { target, .. }
            | FaultAction::SlowDisk { target, .. }
            | FaultAction::LoseReply { target, .. }
            | FaultAction::JumpClock { target, .. }
            | FaultAction::DriftClock { target, .. } => meant(target),
            FaultAction::Expire { target } | FaultAction::Disconnect { target } => {
                let roles = self.roles();
                let has_session = |host: &HostId| roles.session(*host).is_some();
                meant(target).into_iter().filter(has_session).collect()
            }
            FaultAction::Reconfigure { change } => {
                let all = change.joining.iter().chain(&change.observing).chain(&change.leaving);
                all.flat_map(meant).collect()
            }
            FaultAction::Fill { target, .. } => {
                let has_size = |host: &HostId| self.on_disk(*host, |disk| disk.usage().is_some());
                meant(target).into_iter().filter(has_size).collect()
            }
            FaultAction::Heal { .. } => Vec::new(),
        }
    }

    /// The hosts that a selector means now.
    pub(super) fn meant(&self, selector: &Selector, strike: &Strike) -> Vec<HostId> {
        match selector {
            Selector::EventHost => strike.at.into_iter().collect(),
            Selector::Random(group) => {
                let mut hosts = self.roles().resolve(&group.into());
                hosts.retain(|host| self.is_up(*host));
                let drawn = self.die(FAULT_TARGET, strike).below(hosts.len() as u64);
                hosts.get(drawn as usize).copied().into_iter().collect()
            }
            selector => self.roles().resolve(selector),
        }
    }

    /// The hosts that a selector of an administrator's step means now.
    pub(super) fn meant_by_step(&self, selector: &Selector, step: u32, at: Option<HostId>) -> Vec<HostId> {
        self.meant(selector, &Strike { step, at, draw: step })
    }

    /// The die of what a strike leaves open; others of the plan do not shift it.
    fn die(&self, question: Question<(u32,)>, strike: &Strike) -> Die {
        self.dice().at(question, (strike.draw,))
    }

    fn turn(&self, strike: &Strike, action: &FaultAction, hosts: &[HostId]) {
        let step = strike.step;
        match action {
            FaultAction::Crash { .. } | FaultAction::Wipe { .. } | FaultAction::Pause { .. } => {
                hosts.iter().for_each(|host| self.turn_host(step, action, *host));
            }
            FaultAction::Cut { to, direction, links, mode, in_flight, .. } => {
                let pairs = self.pairs(hosts, to.as_ref(), *direction, *links, strike);
                self.cut_all(&pairs, Cut { in_flight: *in_flight, ..Cut::new(step, *mode) });
            }
            FaultAction::Partition { shape, of, mode, in_flight } => {
                let pairs = self.separated(*shape, &self.meant(of, strike), strike);
                self.cut_all(&pairs, Cut { in_flight: *in_flight, ..Cut::new(step, *mode) });
            }
            FaultAction::Slow { to, direction, links, delay, bandwidth, .. } => {
                let slow = Slow { fault: step, delay: *delay, bandwidth: *bandwidth };
                for (from, to) in self.pairs(hosts, to.as_ref(), *direction, *links, strike) {
                    self.turned(step, Switch::Slow(from, to));
                    self.net().slow(from, to, slow);
                }
            }
            FaultAction::LoseReply { to, count, .. } => {
                let to = to.as_ref().map(|to| self.meant(to, strike));
                hosts.iter().for_each(|host| self.net().lose_answers(*host, to.clone(), *count));
            }
            FaultAction::Disconnect { .. } => hosts.iter().for_each(|host| self.net().disconnect(*host)),
            FaultAction::Expire { .. } | FaultAction::Reconfigure { .. } => {
                self.administer(strike, action, hosts);
            }
            FaultAction::Heal { what } => self.undo_named(what),
            of_machine => hosts.iter().for_each(|host| self.turn_machine(strike, of_machine, *host)),
        }
    }

    fn turn_host(&self, step: u32, action: &FaultAction, host: HostId) {
        match action {
            FaultAction::Pause { .. } => {
                self.turned(step, Switch::Paused(host, self.incarnation(host)));
                self.pause(host);
            }
            FaultAction::Crash { power, .. } => {
                self.turned(step, Switch::Stopped(host));
                self.crash(host, *power);
            }
            _ => {
                self.turned(step, Switch::Stopped(host));
                self.wipe(host);
            }
        }
    }

    /// What happens to disks and clocks.
    fn turn_machine(&self, strike: &Strike, action: &FaultAction, host: HostId) {
        let (step, die) = (strike.step, self.dice().at(FAULT_DISK, (strike.draw, host)));
        match action {
            FaultAction::Rot { files, bits, .. } => {
                let rotten = self.on_disk(host, |disk| disk.rot(*files, *bits, die));
                rotten.into_iter().for_each(|(file, bytes)| self.rotten(host, file, bytes));
            }
            FaultAction::Misdirect { files, .. } => {
                let hit = self.on_disk(host, |disk| disk.misdirect(*files, die));
                hit.into_iter().for_each(|(file, bytes)| self.rotten(host, file, bytes));
            }
            FaultAction::FailDisk { files, how, .. } => {
                self.turned(step, Switch::Disk(host));
                self.on_disk(host, |disk| disk.ail(step, *files, *how, die));
            }
            FaultAction::Fill { bytes, .. } => {
                self.turned(step, Switch::Disk(host));
                self.on_disk(host, |disk| disk.fill(step, *bytes));
            }
            FaultAction::SlowDisk { delay, .. } => {
                self.turned(step, Switch::SlowDisk(host));
                self.faults().slow_disks.push((step, host, *delay));
            }
            FaultAction::JumpClock { by_ms, .. } => {
                self.turned(step, Switch::Jumped(host, *by_ms));
                self.set_clock(host, |clock, _| clock.jump(*by_ms));
            }
            FaultAction::DriftClock { ppm, .. } => {
                let ppm = i64::from(*ppm);
                self.turned(step, Switch::Drifts(host, ppm));
                self.set_clock(host, |clock, now| clock.drift(now, ppm));
            }
            _ => {}
        }
    }

    fn rotten(&self, host: HostId, file: FileName, bytes: u32) {
        self.record(Some(host), EventKind::DiskRotted { file: file.to_string(), bytes });
        if self.is_up(host) {
            self.net().push_local(host, self.now(), Arrival::Reread { file });
        }
    }

    fn administer(&self, strike: &Strike, action: &FaultAction, hosts: &[HostId]) {
        if let FaultAction::Reconfigure { change } = action {
            let named = |list: &[Selector]| -> Vec<HostId> {
                list.iter().flat_map(|selector| self.meant(selector, strike)).collect()
            };
            return self.order(Order::Reconfigure {
                joining: named(&change.joining),
                observing: named(&change.observing),
                leaving: named(&change.leaving),
            });
        }
        let roles = self.roles();
        for session in hosts.iter().filter_map(|host| roles.session(*host)) {
            self.order(Order::Expire { session });
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

    fn turned(&self, step: u32, switch: Switch) {
        self.faults().under_way.entry(step).or_default().push(switch);
    }

    fn cut_all(&self, pairs: &[(HostId, HostId)], cut: Cut) {
        for (from, to) in pairs {
            self.turned(cut.fault, Switch::Cut(*from, *to));
            self.net().cut(*from, *to, cut);
            self.record(None, EventKind::LinkCut { from: *from, to: *to });
        }
    }

    /// Something changes that the cluster has to settle after, and servers that look for a leader before that.
    pub fn note_change(&self) {
        let now = self.now();
        let patience = self.roles().lookers().patience(now);
        self.faults().last_change_is(SimTime::from(now.since_start() + patience));
    }

    /// Undoes faults before their time.
    fn undo_named(&self, what: &str) {
        let under_way: Vec<u32> = self.faults().under_way.keys().copied().collect();
        for step in under_way {
            let fault = &self.plan().faults[step as usize];
            let is_meant = what == HEAL_ALL || fault.name.as_deref() == Some(what);
            if is_meant && !matches!(fault.action, FaultAction::Heal { .. }) {
                self.undo(step);
            }
        }
    }

    /// A fault is undone, unless that has been done before.
    pub fn undo(&self, step: u32) {
        let Some(switches) = self.faults().under_way.remove(&step) else { return };
        self.note_change();
        for switch in switches {
            self.turn_back(step, switch);
        }
        let what = describe(&self.plan().faults[step as usize].action);
        self.record(None, EventKind::FaultEnded { step, what });
    }

    fn turn_back(&self, step: u32, switch: Switch) {
        match switch {
            Switch::Stopped(host) if self.faults().holds_down(host) => {}
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
            Switch::Disk(host) => {
                self.on_disk(host, |disk| disk.cure(step));
                self.start_what_gave_up(host);
            }
            Switch::SlowDisk(host) => {
                self.faults().slow_disks.retain(|(by, slow, _)| (*by, *slow) != (step, host));
            }
            Switch::Jumped(host, by_ms) => self.set_clock(host, |clock, _| clock.jump(-by_ms)),
            Switch::Drifts(host, ppm) => self.set_clock(host, |clock, now| clock.drift(now, -ppm)),
        }
    }
}

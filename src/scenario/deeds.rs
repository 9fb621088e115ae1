//! Deeds — decides how a fault is written in a scenario file, and what it then does. It never says whether that
//! makes sense; [`check`](super::check) does.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    bytes::Bytes,
    defaults::is_default,
    duration,
    format::{Spread, When},
    plan::{
        CutMode, Direction, DiskFailure, FaultAction, FileKind, InFlight, LinkKind, PartitionShape,
        Reconfiguration, Selector,
    },
};

/// A fault: one trigger (`at`, `when`, `every`, `rate`), one deed (`shardarium list faults` has them), and for how
/// long.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// What another fault heals it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Strikes at this time.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Strikes right after an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Strikes again and again, so far apart.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// Strikes at random times, so often a second on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Of what repeats: not before this time. Default: from the start.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub from: Option<Duration>,
    /// Of what repeats: not from this time on. Default: to the end.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub until: Option<Duration>,
    /// Of what repeats: at most so often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Hits the hosts of its target one after the other, each so long after the one before has returned.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Duration>,
    /// Whose process dies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Selector>,
    /// Of a crash: whether the machine loses power, so that peers see silence instead of resets.
    /// Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<bool>,
    /// Whose process is not scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Selector>,
    /// Whose messages do not get through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Selector>,
    /// Into which parts a group of hosts falls: `halves`, `isolate_one`, `minority`, `bridge`, `ring`, `zones`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionShape>,
    /// Of a partition: the group. Default: every server and search node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<Selector>,
    /// Whose machine loses power, and its disk all it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe: Option<Selector>,
    /// Whose messages are late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Selector>,
    /// Of a slow link: how late messages are. Of a slow disk: how long a sync takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Spread>,
    /// Of a slow link: bytes a second that it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// Whose ZooKeeper sessions are ended, by somebody who has their passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire: Option<Selector>,
    /// How the ensemble is changed (`[zookeeper] reconfig = true`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconfig: Option<Reconfiguration>,
    /// On whose disk bits of a file rot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rot: Option<Selector>,
    /// Of rot: how many bits. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// On whose disk the last write to a file went to another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misdirect: Option<Selector>,
    /// On whose disk files cannot be read by a process that starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_error: Option<Selector>,
    /// On whose disk writes fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_error: Option<Selector>,
    /// On whose disk syncs fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsync_error: Option<Selector>,
    /// Of a sync that fails: whether what was to be synced is `kept` for the next one or `dropped`. Default `dropped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// Whose disk has no space left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Selector>,
    /// On whose disk another program takes up `bytes`; only disks that have a size (`[disks] capacity`) fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<Selector>,
    /// Of a disk that is filled: how much, such as `"2mb"`; at most what there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// Of what happens to disks: to which files (`any`, `segments`, `translog`, `log`, `snapshot`, `state`).
    /// Default `any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileKind>,
    /// Whose syncs take `delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_disk: Option<Selector>,
    /// Whose next answers to a client vanish, with the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lose_reply: Option<Selector>,
    /// Of lost answers: how many. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Whose connections to ZooKeeper are reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<Selector>,
    /// Whose wall clock jumps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump: Option<Selector>,
    /// Of a jump: how far, such as `"5s"` or `"-200ms"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Shift>,
    /// Whose clocks run fast or slow from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Selector>,
    /// Of a drift: parts per million, slow if negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppm: Option<i32>,
    /// Which faults are undone now: those of this name, or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal: Option<String>,
    /// Of a cut or slow link: the other side. Default: every other server and node; clients have their own way in.
    /// Of lost answers: to whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Selector>,
    /// Of a cut or slow link: which way. Default `both`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Of a cut or slow link: only those between servers (`zookeeper`), between search nodes (`nodes`), of clients
    /// (`clients`), or between servers and whoever has sessions (`sessions`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<LinkKind>,
    /// Of a cut or partition: whether connections `stall`, are `reset`, or data is silently dropped (`drop`) or held
    /// and released at once (`hold`). Default `stall`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<CutMode>,
    /// Of a cut or partition: whether messages on the wire are `cut` like later ones, `delivered` or `lost`.
    /// Default `cut`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    /// After how long it is undone. Default: never.
    #[serde(with = "duration::OptionalSpan", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// Which of all possible ones it is, where it leaves a choice. Default: drawn by the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<u32>,
}

/// What becomes of what a failing sync was to make durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// It waits for the next sync.
    Kept,
    /// It is gone.
    Dropped,
}

/// How far a clock jumps: a span with a sign, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shift(pub i64);

impl TryFrom<String> for Shift {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (sign, span) = match text.trim().strip_prefix('-') {
            Some(span) => (-1, span),
            None => (1, text.trim().strip_prefix('+').unwrap_or(text.trim())),
        };
        let span = duration::parse(span)?;
        Ok(Self(sign * span.as_millis() as i64))
    }
}

impl From<Shift> for String {
    fn from(Shift(by_ms): Shift) -> Self {
        let span = duration::show(Duration::from_millis(by_ms.unsigned_abs()));
        if by_ms < 0 { format!("-{span}") } else { span }
    }
}

impl Fault {
    /// Its deeds, each with the key that names it and whether it is given.
    pub fn deeds(&self) -> [(&'static str, bool); 20] {
        [
            ("crash", self.crash.is_some()),
            ("wipe", self.wipe.is_some()),
            ("pause", self.pause.is_some()),
            ("cut", self.cut.is_some()),
            ("partition", self.partition.is_some()),
            ("slow", self.slow.is_some()),
            ("expire", self.expire.is_some()),
            ("reconfig", self.reconfig.is_some()),
            ("rot", self.rot.is_some()),
            ("misdirect", self.misdirect.is_some()),
            ("read_error", self.read_error.is_some()),
            ("write_error", self.write_error.is_some()),
            ("fsync_error", self.fsync_error.is_some()),
            ("full", self.full.is_some()),
            ("fill", self.fill.is_some()),
            ("slow_disk", self.slow_disk.is_some()),
            ("lose_reply", self.lose_reply.is_some()),
            ("disconnect", self.disconnect.is_some()),
            ("jump", self.jump.is_some()),
            ("drift", self.drift.is_some()),
        ]
    }

    /// Whom it hits, by the key that says so.
    pub fn targets(&self) -> [(&'static str, Option<&Selector>); 19] {
        [
            ("crash", self.crash.as_ref()),
            ("wipe", self.wipe.as_ref()),
            ("pause", self.pause.as_ref()),
            ("cut", self.cut.as_ref()),
            ("slow", self.slow.as_ref()),
            ("expire", self.expire.as_ref()),
            ("rot", self.rot.as_ref()),
            ("misdirect", self.misdirect.as_ref()),
            ("read_error", self.read_error.as_ref()),
            ("write_error", self.write_error.as_ref()),
            ("fsync_error", self.fsync_error.as_ref()),
            ("full", self.full.as_ref()),
            ("fill", self.fill.as_ref()),
            ("slow_disk", self.slow_disk.as_ref()),
            ("lose_reply", self.lose_reply.as_ref()),
            ("disconnect", self.disconnect.as_ref()),
            ("jump", self.jump.as_ref()),
            ("drift", self.drift.as_ref()),
            ("of", self.of.as_ref()),
        ]
    }

    /// What it does; none if it does nothing.
    pub fn action(&self) -> Option<FaultAction> {
        let by_hand = || {
            let expire = self.expire.clone().map(|target| FaultAction::Expire { target });
            let reconfigure = self.reconfig.clone().map(|change| FaultAction::Reconfigure { change });
            let heal = self.heal.clone().map(|what| FaultAction::Heal { what });
            expire.or(reconfigure).or(heal)
        };
        let of_host = self.of_host().or_else(|| self.of_links());
        of_host.or_else(|| self.of_disk()).or_else(|| self.of_clock()).or_else(by_hand)
    }

    fn of_host(&self) -> Option<FaultAction> {
        let power = self.power.unwrap_or(false);
        let crash = self.crash.clone().map(|target| FaultAction::Crash { target, power });
        let pause = self.pause.clone().map(|target| FaultAction::Pause { target });
        crash.or(pause).or_else(|| self.wipe.clone().map(|target| FaultAction::Wipe { target }))
    }

    fn of_links(&self) -> Option<FaultAction> {
        let (to, links) = (self.to.clone(), self.links);
        let direction = self.direction.unwrap_or(Direction::Both);
        let mode = self.mode.unwrap_or(CutMode::Stall);
        let in_flight = self.in_flight.unwrap_or_default();
        if let Some(from) = self.cut.clone() {
            return Some(FaultAction::Cut { from, to, direction, links, mode, in_flight });
        }
        if let Some(shape) = self.partition {
            let of = self.of.clone().unwrap_or(Selector::All);
            return Some(FaultAction::Partition { shape, of, mode, in_flight });
        }
        if let Some(from) = self.slow.clone() {
            let (delay, bandwidth) = (self.delay.map(Into::into), self.bandwidth);
            return Some(FaultAction::Slow { from, to, direction, links, delay, bandwidth });
        }
        let count = self.count.unwrap_or(1);
        let lose = self.lose_reply.clone().map(|target| FaultAction::LoseReply { target, to, count });
        lose.or_else(|| self.disconnect.clone().map(|target| FaultAction::Disconnect { target }))
    }

    fn of_disk(&self) -> Option<FaultAction> {
        let files = self.files.unwrap_or_default();
        let sync = match self.page {
            Some(Page::Kept) => DiskFailure::SyncKept,
            Some(Page::Dropped) | None => DiskFailure::SyncDropped,
        };
        let failing = [
            (&self.read_error, DiskFailure::Read),
            (&self.write_error, DiskFailure::Write),
            (&self.fsync_error, sync),
            (&self.full, DiskFailure::Full),
        ];
        let failing = failing.into_iter().find_map(|(target, how)| {
            let target = target.clone()?;
            Some(FaultAction::FailDisk { target, files, how })
        });
        let bits = self.bits.unwrap_or(1);
        let rot = self.rot.clone().map(|target| FaultAction::Rot { target, files, bits });
        let misdirect = self.misdirect.clone().map(|target| FaultAction::Misdirect { target, files });
        let slow = || {
            let (target, delay) = (self.slow_disk.clone()?, self.delay?.into());
            Some(FaultAction::SlowDisk { target, delay })
        };
        let fill = || {
            let (target, Bytes(bytes)) = (self.fill.clone()?, self.bytes?);
            Some(FaultAction::Fill { target, bytes })
        };
        failing.or(rot).or(misdirect).or_else(slow).or_else(fill)
    }

    fn of_clock(&self) -> Option<FaultAction> {
        if let Some(target) = self.jump.clone() {
            let Shift(by_ms) = self.by?;
            return Some(FaultAction::JumpClock { target, by_ms });
        }
        let ppm = self.ppm?;
        self.drift.clone().map(|target| FaultAction::DriftClock { target, ppm })
    }
}

impl From<&FaultAction> for Fault {
    fn from(action: &FaultAction) -> Self {
        let mut fault = Self::default();
        let some = |target: &Selector| Some(target.clone());
        match action {
            FaultAction::Crash { target, power } => {
                (fault.crash, fault.power) = (some(target), Some(*power));
            }
            FaultAction::Pause { target } => fault.pause = some(target),
            FaultAction::Wipe { target } => fault.wipe = some(target),
            FaultAction::Expire { target } => fault.expire = some(target),
            FaultAction::Reconfigure { change } => fault.reconfig = Some(change.clone()),
            FaultAction::Disconnect { target } => fault.disconnect = some(target),
            FaultAction::LoseReply { target, to, count } => {
                (fault.lose_reply, fault.to, fault.count) = (some(target), to.clone(), Some(*count));
            }
            FaultAction::JumpClock { target, by_ms } => {
                (fault.jump, fault.by) = (some(target), Some(Shift(*by_ms)));
            }
            FaultAction::DriftClock { target, ppm } => {
                (fault.drift, fault.ppm) = (some(target), Some(*ppm));
            }
            FaultAction::Heal { what } => fault.heal = Some(what.clone()),
            links @ (FaultAction::Cut { .. } | FaultAction::Partition { .. } | FaultAction::Slow { .. }) => {
                fault.write_links(links);
            }
            disk => fault.write_disk(disk),
        }
        fault
    }
}

impl Fault {
    fn write_links(&mut self, action: &FaultAction) {
        match action {
            FaultAction::Cut { from, to, direction, links, mode, in_flight } => {
                (self.cut, self.to, self.links) = (Some(from.clone()), to.clone(), *links);
                (self.direction, self.mode) = (Some(*direction), Some(*mode));
                self.in_flight = Some(*in_flight).filter(|in_flight| !is_default(in_flight));
            }
            FaultAction::Partition { shape, of, mode, in_flight } => {
                (self.partition, self.of, self.mode) = (Some(*shape), Some(of.clone()), Some(*mode));
                self.in_flight = Some(*in_flight).filter(|in_flight| !is_default(in_flight));
            }
            FaultAction::Slow { from, to, direction, links, delay, bandwidth } => {
                (self.slow, self.to, self.links) = (Some(from.clone()), to.clone(), *links);
                self.direction = Some(*direction);
                (self.delay, self.bandwidth) = (delay.map(Spread::from), *bandwidth);
            }
            _ => {}
        }
    }

    fn write_disk(&mut self, action: &FaultAction) {
        match action {
            FaultAction::Rot { target, files, bits } => {
                (self.rot, self.files, self.bits) = (Some(target.clone()), Some(*files), Some(*bits));
            }
            FaultAction::Misdirect { target, files } => {
                (self.misdirect, self.files) = (Some(target.clone()), Some(*files));
            }
            FaultAction::FailDisk { target, files, how } => {
                self.files = Some(*files);
                let target = Some(target.clone());
                match how {
                    DiskFailure::Read => self.read_error = target,
                    DiskFailure::Write => self.write_error = target,
                    DiskFailure::Full => self.full = target,
                    DiskFailure::SyncKept => (self.fsync_error, self.page) = (target, Some(Page::Kept)),
                    DiskFailure::SyncDropped => (self.fsync_error, self.page) = (target, Some(Page::Dropped)),
                }
            }
            FaultAction::Fill { target, bytes } => {
                (self.fill, self.bytes) = (Some(target.clone()), Some(Bytes(*bytes)));
            }
            FaultAction::SlowDisk { target, delay } => {
                (self.slow_disk, self.delay) = (Some(target.clone()), Some((*delay).into()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions() -> Vec<FaultAction> {
        let target = Selector::AllSearch;
        let (from, to) = (target.clone(), Some(Selector::Random(super::super::plan::Group::ZooKeeper)));
        let delay = Spread::default().into();
        let (mode, in_flight, links) = (CutMode::Hold, InFlight::Lost, Some(LinkKind::Sessions));
        let direction = Direction::Outgoing;
        let disk = [
            DiskFailure::Read,
            DiskFailure::Write,
            DiskFailure::Full,
            DiskFailure::SyncKept,
            DiskFailure::SyncDropped,
        ];
        let files = FileKind::Translog;
        let mut all = vec![
            FaultAction::Crash { target: target.clone(), power: true },
            FaultAction::Pause { target: target.clone() },
            FaultAction::Wipe { target: target.clone() },
            FaultAction::Expire { target: target.clone() },
            FaultAction::Disconnect { target: target.clone() },
            FaultAction::LoseReply { target: target.clone(), to: to.clone(), count: 3 },
            FaultAction::JumpClock { target: target.clone(), by_ms: -1_500 },
            FaultAction::DriftClock { target: target.clone(), ppm: -300 },
            FaultAction::Heal { what: "x".into() },
            FaultAction::Cut { from: from.clone(), to: to.clone(), direction, links, mode, in_flight },
            FaultAction::Partition { shape: PartitionShape::Ring, of: target.clone(), mode, in_flight },
            FaultAction::Slow { from, to, direction, links, delay: Some(delay), bandwidth: Some(9) },
            FaultAction::Rot { target: target.clone(), files, bits: 2 },
            FaultAction::Misdirect { target: target.clone(), files },
            FaultAction::SlowDisk { target: target.clone(), delay },
        ];
        all.extend(disk.map(|how| FaultAction::FailDisk { target: target.clone(), files, how }));
        all
    }

    #[test]
    fn every_action_is_written_and_read_back() {
        for action in actions() {
            let text = toml::to_string(&Fault::from(&action)).unwrap();
            let read: Fault = toml::from_str(&text).unwrap();
            assert_eq!(read.action().as_ref(), Some(&action), "{text}");
            let is_named = |(key, given): (&str, bool)| given && key == action.kind();
            assert!(action.kind() == "heal" || read.deeds().into_iter().any(is_named), "{text}");
        }
    }

    #[test]
    fn shift_has_a_sign_and_a_unit() {
        assert_eq!(Shift::try_from("-200ms".to_owned()), Ok(Shift(-200)));
        assert_eq!(Shift::try_from("1m 5s".to_owned()), Ok(Shift(65_000)));
        assert!(Shift::try_from("--5s".to_owned()).is_err());
    }
}

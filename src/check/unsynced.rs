//! Unsynced — decides for how long a copy may have operations that its disk does not. It never says what a crash may
//! take (`forfeit`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    check::{
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, broken, clock},
    },
    event::{Event, EventKind},
    name::{AllocationId, HostId, IndexName, SeqNo, ShardId, SimTime},
};

pub(super) const SYNC_INTERVAL: Law = Law {
    name: "replication.sync-interval",
    sentence: "What a copy of an index with asynchronous durability takes is synced, or in durable files, within the \
               index's sync interval and what its disk needs.",
    source: "Elasticsearch, index.translog.durability and index.translog.sync_interval; IndexService.AsyncTranslogFSync",
    monitor: || Box::<SyncInterval>::default(),
};

/// What the disk, and all that comes between the interval's end and the sync's, may take. No event says how quick a disk
/// is; a sync takes milliseconds, and in a plan's slowest tail a few seconds.
const DISK: Duration = Duration::from_secs(10);

/// How much slower than time a clock may run at the start of a run, in parts per million: no plan allows for more.
const DRIFT_PPM: u64 = 100_000;
const MILLION: u64 = 1_000_000;

/// Where `index.translog.sync_interval` is not set.
const DEFAULT: &str = "5s";

/// A copy is judged by the settings that its node goes by, if it is known what they say, and from when it is level: a
/// recovery syncs what it takes by itself.
///
/// Allowed: an interval as long as the node's slow clock makes it, and ten seconds. Nothing is counted across a change of
/// the interval, a pause, a refusal of the disk, operations that are thrown away (numbers taken since the sync began then
/// count as not synced), or while the disk is slow by a fault, until a sync on that node shows that it no longer is. What
/// a copy does not tell of is not asked for: an operation above a missing one is synced with the others, but a sync tells
/// only of those up to the first that is missing; nor are operations of which a copy in a new term does not know yet
/// whether its primary has them. It ends with the process, with the failure of the copy, with its recovery, with its time
/// as a primary, and with its removal.
#[derive(Default)]
struct SyncInterval {
    settings: Settings,
    /// Disks that are slow, and the faults that make them so. None left: nobody has seen it quick again.
    slow: BTreeMap<HostId, BTreeSet<u32>>,
    paused: BTreeSet<HostId>,
    drifts: BTreeMap<HostId, u64>,
    copies: BTreeMap<AllocationId, Copy>,
    /// No operation is due before.
    due: Option<SimTime>,
}

/// A copy that is level, as far as its disk goes.
#[derive(Debug)]
struct Copy {
    shard: ShardId,
    host: HostId,
    /// When it took what is not synced.
    unsynced: BTreeMap<SeqNo, SimTime>,
}

/// The sync intervals of indices with asynchronous durability.
type Intervals = BTreeMap<IndexName, Duration>;

/// The versions of the settings, as far as the controller told of them, and which one each node goes by.
#[derive(Debug, Default)]
struct Settings {
    /// Told, but not yet of which version.
    told: BTreeMap<HostId, Intervals>,
    written: BTreeMap<u64, Intervals>,
    applied: BTreeMap<HostId, u64>,
}

impl Settings {
    /// Reads the next event.
    fn observe(&mut self, event: &Event, host: HostId) {
        match &event.kind {
            EventKind::AllocationInputs { indices, .. } => {
                let known = indices.iter().filter_map(|(index, set)| Some((index.clone(), interval(set)?)));
                self.told.insert(host, known.collect());
            }
            EventKind::SettingsWritten { version, .. } => {
                if let Some(intervals) = self.told.remove(&host) {
                    self.written.insert(*version, intervals);
                }
            }
            EventKind::SettingsApplied { version, .. } => _ = self.applied.insert(host, *version),
            kind if is_new_life(kind) => {
                self.told.remove(&host);
                self.applied.remove(&host);
            }
            _ => {}
        }
    }

    /// The interval of this index on this node, if it is known and the index syncs in intervals.
    fn interval(&self, host: HostId, index: &IndexName) -> Option<Duration> {
        self.written.get(self.applied.get(&host)?)?.get(index).copied()
    }
}

fn interval(set: &BTreeMap<String, String>) -> Option<Duration> {
    let is_async = set.get("index.translog.durability").is_some_and(|text| text == "async");
    let text = set.get("index.translog.sync_interval").map_or(DEFAULT, String::as_str);
    span(text).filter(|_| is_async)
}

/// A time as settings say it; none of the odd ones.
fn span(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let count: u64 = text[..unit].parse().ok()?;
    let millis = match &text[unit..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    count.checked_mul(millis).map(Duration::from_millis)
}

impl SyncInterval {
    /// When what a copy took at this time must be synced; none: it is not judged.
    fn due(&self, copy: &Copy, taken: SimTime) -> Option<SimTime> {
        if self.paused.contains(&copy.host) || self.slow.contains_key(&copy.host) {
            return None;
        }
        let interval = self.settings.interval(copy.host, &copy.shard.index)?;
        let drift = self.drifts.get(&copy.host).copied().unwrap_or_default().clamp(DRIFT_PPM, MILLION - 1);
        let span = interval.as_nanos() * u128::from(MILLION) / u128::from(MILLION - drift) + DISK.as_nanos();
        Some(SimTime(taken.0.saturating_add(span as u64)))
    }

    fn expect(&mut self, due: Option<SimTime>) {
        self.due = [self.due, due].into_iter().flatten().min();
    }

    /// Time passes up to this event.
    fn pass(&mut self, event: &Event) -> Judged {
        if self.due.is_none_or(|due| event.at <= due) {
            return Ok(());
        }
        self.due = None;
        let oldest = |(id, copy): (&AllocationId, &Copy)| {
            let (seq_no, taken) = copy.unsynced.iter().min_by_key(|(_, taken)| **taken)?;
            Some((self.due(copy, *taken)?, *id, *seq_no, *taken))
        };
        let Some((due, id, seq_no, taken)) = self.copies.iter().filter_map(oldest).min() else {
            return Ok(());
        };
        if event.at <= due {
            self.expect(Some(due));
            return Ok(());
        }
        let Some(Copy { shard, host, .. }) = self.copies.get(&id) else { return Ok(()) };
        let interval = self.settings.interval(*host, &shard.index).unwrap_or_default();
        let (taken, due) = (clock(taken), clock(due));
        broken(
            event,
            format!(
                "copy {id} of {shard} on {host} took operation {seq_no} at {taken} and has not synced it: it syncs every \
                 {interval:?}, so at {due} at the latest"
            ),
        )
    }

    /// Whatever is not synced on this node has as long as if it had been taken now.
    fn restart(&mut self, event: &Event, host: HostId) {
        for copy in self.copies.values_mut().filter(|copy| copy.host == host) {
            copy.unsynced.values_mut().for_each(|taken| *taken = event.at);
        }
        let dues = self.copies.values().filter(|copy| copy.host == host && !copy.unsynced.is_empty());
        let due = dues.filter_map(|copy| self.due(copy, event.at)).min();
        self.expect(due);
    }

    fn fault(&mut self, event: &Event) {
        match &event.kind {
            EventKind::FaultBegan { step, what, hosts } if what.starts_with("slow disk") => {
                hosts.iter().for_each(|host| _ = self.slow.entry(*host).or_default().insert(*step));
            }
            EventKind::FaultEnded { step, .. } => {
                self.slow.values_mut().for_each(|steps| _ = steps.remove(step));
            }
            _ => {}
        }
    }

    fn node(&mut self, event: &Event, host: HostId) {
        match &event.kind {
            EventKind::HostPaused => _ = self.paused.insert(host),
            EventKind::HostResumed => {
                self.paused.remove(&host);
                self.restart(event, host);
            }
            EventKind::ClockSet { drift_ppm, .. } => {
                let slow = u64::try_from(drift_ppm.saturating_neg()).unwrap_or_default();
                let drift = self.drifts.entry(host).or_default();
                *drift = slow.max(*drift);
            }
            EventKind::DiskFailed { .. } | EventKind::DiskWiped => {
                let copies = self.copies.values_mut().filter(|copy| copy.host == host);
                copies.for_each(|copy| copy.unsynced.clear());
            }
            EventKind::SettingsApplied { .. } => {
                let before = |copy: &Copy| self.settings.interval(host, &copy.shard.index);
                let before: Vec<_> = self.copies.values().map(before).collect();
                self.settings.observe(event, host);
                let settings = &self.settings;
                for (copy, before) in
                    self.copies.values_mut().zip(before).filter(|(copy, _)| copy.host == host)
                {
                    if settings.interval(host, &copy.shard.index) != before {
                        copy.unsynced.clear();
                    }
                }
            }
            kind if is_new_life(kind) => {
                self.copies.retain(|_, copy| copy.host != host);
                self.paused.remove(&host);
                self.slow.retain(|slow, steps| *slow != host || !steps.is_empty());
            }
            _ => {}
        }
        self.settings.observe(event, host);
    }

    fn copy(&mut self, event: &Event, host: HostId) {
        match &event.kind {
            EventKind::RecoveryCompleted { shard, allocation, .. } => {
                let copy = Copy { shard: shard.clone(), host, unsynced: BTreeMap::new() };
                self.copies.insert(*allocation, copy);
            }
            EventKind::RecoveryStarted { allocation, .. }
            | EventKind::CopyOpened { allocation, .. }
            | EventKind::CopyFailed { allocation, .. }
            | EventKind::CorruptionFound { allocation, .. }
            | EventKind::PrimaryDeactivated { allocation, .. }
            | EventKind::CopyRemoved { allocation, .. } => _ = self.copies.remove(allocation),
            EventKind::FilesInstalled { allocation, .. }
            | EventKind::TermAdopted { allocation, .. }
            | EventKind::OperationsTrimmed { allocation, .. } => {
                if let Some(copy) = self.copies.get_mut(allocation) {
                    copy.unsynced.clear();
                }
            }
            EventKind::PrimaryAppended { allocation, seq_no, .. }
            | EventKind::ReplicaAppended { allocation, seq_no, .. } => {
                self.take(event, host, *allocation, *seq_no);
            }
            EventKind::TranslogSynced { allocation, up_to, .. } => {
                self.is_quick(event, host);
                let Some(copy) = self.copies.get_mut(allocation) else { return };
                let mut left = copy.unsynced.split_off(&up_to.next());
                let follow = (up_to.next().0..).zip(left.keys()).take_while(|(next, held)| *next == held.0);
                let missing = SeqNo(up_to.next().0 + follow.count() as i64);
                left.split_off(&missing);
                copy.unsynced = left;
            }
            EventKind::CopyFlushed { allocation, up_to, .. } => {
                self.is_quick(event, host);
                let Some(copy) = self.copies.get_mut(allocation) else { return };
                copy.unsynced = copy.unsynced.split_off(&up_to.next());
            }
            _ => {}
        }
    }

    fn take(&mut self, event: &Event, host: HostId, allocation: AllocationId, seq_no: SeqNo) {
        let Some(copy) = self.copies.get_mut(&allocation).filter(|copy| copy.host == host) else { return };
        if self.settings.interval(host, &copy.shard.index).is_none() {
            return;
        }
        copy.unsynced.insert(seq_no, event.at);
        let due = self.copies.get(&allocation).and_then(|copy| self.due(copy, event.at));
        self.expect(due);
    }

    /// Something was synced on this node: its disk is as quick as before, unless a fault makes it slow.
    fn is_quick(&mut self, event: &Event, host: HostId) {
        if self.slow.get(&host).is_some_and(BTreeSet::is_empty) {
            self.slow.remove(&host);
            self.restart(event, host);
        }
    }
}

impl Monitor for SyncInterval {
    fn observe(&mut self, event: &Event) -> Judged {
        self.pass(event)?;
        self.fault(event);
        if let Some(host) = event.host {
            self.node(event, host);
            self.copy(event, host);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::record::{Record, numbered, search, shard},
        event::{Digest, EventKind as E},
        name::Term,
    };

    const LAW: &str = "replication.sync-interval";

    fn set(record: &mut Record, version: u64, settings: &[(&str, &str)]) {
        let set = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (cluster, attributes) = (BTreeMap::new(), BTreeMap::new());
        let indices = BTreeMap::from([(shard().index, set)]);
        let digest = Digest(version);
        record.on(search(3), E::AllocationInputs { cluster, indices, attributes });
        record.on(search(3), E::SettingsWritten { version, digest });
        for node in 1..=3 {
            record.on(search(node), E::SettingsApplied { version, digest });
        }
    }

    const ASYNC: (&str, &str) = ("index.translog.durability", "async");

    fn level(copy: u64) -> E {
        E::RecoveryCompleted { shard: shard(), allocation: AllocationId(copy), operations: 0 }
    }

    fn recovers(copy: u64) -> E {
        E::RecoveryStarted { shard: shard(), allocation: AllocationId(copy), from: "files".into() }
    }

    fn taken(copy: u64, seq_no: i64) -> E {
        E::ReplicaAppended {
            shard: shard(),
            allocation: AllocationId(copy),
            sender_term: Term(1),
            term: Term(1),
            seq_no: SeqNo(seq_no),
            digest: Digest(0),
            global_checkpoint: SeqNo::NONE,
        }
    }

    fn synced(copy: u64, up_to: i64) -> E {
        E::TranslogSynced { shard: shard(), allocation: AllocationId(copy), up_to: SeqNo(up_to) }
    }

    /// Two level copies of an index that syncs every five seconds: the primary on the first node.
    fn begun() -> Record {
        let mut record = Record::default();
        set(&mut record, 1, &[ASYNC]);
        record.on(search(1), level(1)).on(search(2), level(2));
        record
    }

    /// The record goes on with this, and with twenty seconds of nothing.
    fn after(record: &Record, middle: impl FnOnce(&mut Record)) -> Record {
        let mut record = record.clone();
        middle(&mut record);
        record.wait(20_000).world(E::RunEnded);
        record
    }

    #[test]
    fn operation_that_is_not_synced_within_the_interval_fails() {
        let why = "copy 2 of articles/0 on search-2 took operation 0 at 0.008 s and has not synced it: it syncs every 5s, \
                   so at 15.564 s at the latest";
        after(&begun(), |record| _ = record.on(search(2), taken(2, 0))).assert_fails(LAW, why);
        after(&begun(), |record| _ = record.on(search(1), numbered((1, 1), 0, 0)))
            .assert_fails(LAW, "copy 1 of articles/0 on search-1 took operation 0");
        after(&begun(), |record| {
            _ = record.on(search(2), taken(2, 0)).wait(5_000).on(search(2), synced(2, 0))
        })
        .assert_passes(LAW);
        let flushed = E::CopyFlushed { shard: shard(), allocation: AllocationId(2), up_to: SeqNo(0) };
        after(&begun(), |record| _ = record.on(search(2), taken(2, 0)).on(search(2), flushed))
            .assert_passes(LAW);
        Record::healthy().assert_passes(LAW);
    }

    /// A background sync was under way when a recovery put files in the place of the copy's own, its end was told to
    /// nobody, and the copy waited for it for good.
    #[test]
    fn copy_that_never_syncs_again_after_files_were_installed_fails() {
        let installed = E::FilesInstalled { shard: shard(), allocation: AllocationId(2), up_to: SeqNo(0) };
        let story = |again: bool| {
            after(&begun(), |record| {
                record.on(search(2), taken(2, 0)).wait(5_000).on(search(2), recovers(2));
                record.on(search(2), installed.clone()).on(search(2), level(2)).on(search(2), taken(2, 1));
                record.wait(5_100);
                if again {
                    record.on(search(2), synced(2, 1));
                }
            })
        };
        story(true).assert_passes(LAW);
        story(false).assert_fails(LAW, "copy 2 of articles/0 on search-2 took operation 1");
    }

    #[test]
    fn sync_that_tells_less_is_no_sync_of_the_rest() {
        let told = |numbers: &[i64], up_to| {
            after(&begun(), |record| {
                numbers.iter().for_each(|seq_no| _ = record.on(search(2), taken(2, *seq_no)));
                record.on(search(2), synced(2, up_to));
            })
        };
        told(&[0, 1], 0).assert_fails(LAW, "operation 1");
        told(&[0, 2, 3], 0).assert_passes(LAW);
        told(&[0, 1, 3], 0).assert_fails(LAW, "operation 1");
    }

    #[test]
    fn settings_decide_whether_and_how_soon() {
        let under = |settings: &[(&str, &str)]| {
            let mut record = Record::default();
            set(&mut record, 1, settings);
            record.on(search(1), level(1)).on(search(2), level(2));
            after(&record, |record| _ = record.on(search(2), taken(2, 0)))
        };
        under(&[]).assert_passes(LAW);
        under(&[ASYNC, ("index.translog.sync_interval", "1m")]).assert_passes(LAW);
        under(&[ASYNC, ("index.translog.sync_interval", "200ms")]).assert_fails(LAW, "it syncs every 200ms");
        let mut changed = begun();
        changed.on(search(2), taken(2, 0));
        after(&changed, |record| set(record, 2, &[])).assert_passes(LAW);
        let alone = E::SettingsApplied { version: 9, digest: Digest(9) };
        after(&changed, |record| _ = record.on(search(2), alone)).assert_passes(LAW);
    }

    #[test]
    fn end_of_process_copy_or_disk_is_no_delay() {
        let (shard, allocation) = (shard(), AllocationId(2));
        let excuses = [
            E::HostCrashed { power: true },
            E::HostPaused,
            E::CopyFailed { shard: shard.clone(), allocation, why: "tired".into() },
            E::CopyRemoved { shard: shard.clone(), allocation },
            E::DiskFailed { file: "translog.1".into(), error: "no space left on device".into() },
            E::PrimaryDeactivated { shard: shard.clone(), allocation, term: Term(1), why: "removed".into() },
            E::TermAdopted { shard: shard.clone(), allocation, term: Term(2) },
            E::OperationsTrimmed { shard, allocation, above: SeqNo::NONE, void: vec![SeqNo(0)] },
            recovers(2),
        ];
        for excuse in excuses {
            after(&begun(), |record| _ = record.on(search(2), taken(2, 0)).on(search(2), excuse))
                .assert_passes(LAW);
        }
    }

    #[test]
    fn clock_begins_anew_after_a_pause_and_a_slow_disk() {
        let mut paused = begun();
        paused.on(search(2), taken(2, 0)).on(search(2), E::HostPaused).wait(20_000);
        paused.on(search(2), E::HostResumed).wait(5_000);
        after(&paused, |record| _ = record.on(search(2), synced(2, 0))).assert_passes(LAW);
        after(&paused, |_| ()).assert_fails(LAW, "took operation 0 at 20.0");

        let what = "slow disk of search-2".to_owned();
        let mut slow = begun();
        slow.world(E::FaultBegan { step: 0, what: what.clone(), hosts: vec![search(2)] });
        slow.on(search(2), taken(2, 0)).wait(20_000).world(E::FaultEnded { step: 0, what });
        after(&slow, |_| ()).assert_passes(LAW);
        slow.wait(20_000).on(search(2), synced(2, 0)).on(search(2), taken(2, 1));
        after(&slow, |_| ()).assert_fails(LAW, "took operation 1");
    }

    #[test]
    fn slow_clock_makes_a_longer_interval() {
        let slow = |drift_ppm| {
            let mut record = Record::default();
            set(&mut record, 1, &[ASYNC, ("index.translog.sync_interval", "9s")]);
            record.on(search(2), level(2)).on(search(2), E::ClockSet { offset_ms: 0, drift_ppm });
            after(&record, |record| _ = record.on(search(2), taken(2, 0)))
        };
        slow(-200_000).assert_passes(LAW);
        slow(200_000).assert_fails(LAW, "it syncs every 9s");
    }
}

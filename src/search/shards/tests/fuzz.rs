//! Fuzz: seeds make schedules of deliveries, syncs, crashes, cuts, states that come late; after all of it has
//! healed, the copies are equal and hold what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::harness::{Cluster, HOSTS, Loss, config, index};
use crate::{
    core::Entropy,
    event::{CopyState, Digest, EventKind},
    name::{AllocationId, HostId, SeqNo, Term},
    search::{control::ShardReport, shards::WriteCall, state::ClusterState},
};

/// What a client was told: number, term, source.
type Acknowledged = BTreeMap<SeqNo, (Term, String, Option<Digest>)>;

struct Fuzz {
    cluster: Cluster,
    dice: Entropy,
    /// Published states, oldest first, and how many of them each node has seen.
    states: Vec<Arc<ClusterState>>,
    seen: BTreeMap<HostId, usize>,
    asked: BTreeMap<u64, (String, Option<Digest>)>,
    /// Nodes that are down and have not been noticed to be.
    unnoticed: Vec<HostId>,
    down: Vec<HostId>,
    started: Vec<(HostId, AllocationId, Term)>,
    relocations: bool,
    /// Under `async` durability: whether machines lose what is not synced, and acknowledged writes with it, or processes
    /// die that lose nothing.
    is_async: bool,
    is_lossy: bool,
    copies: usize,
}

impl Fuzz {
    fn new(seed: u64) -> Self {
        let mut config = config();
        let mut dice = Entropy::new(seed);
        config.search.flush_operations = [3, 10, 1_000][(dice.draw() % 3) as usize];
        let copies = [1, 2, 3, 3][(dice.draw() % 4) as usize];
        let mut cluster = Cluster::with_copies(copies, config);
        cluster.disks_are_quick = false;
        cluster.controller_acts = false;
        let relocations = dice.draw().is_multiple_of(2);
        let durability = ["request", "request", "async", "async"][(dice.draw() % 4) as usize];
        let is_async = durability == "async";
        let is_lossy = is_async && dice.draw().is_multiple_of(2);
        cluster.set_index("index.translog.durability", durability);
        let state = Arc::new(cluster.state.clone());
        Self {
            cluster,
            dice,
            states: vec![state],
            seen: HOSTS.map(|host| (host, 1)).into(),
            asked: BTreeMap::new(),
            unnoticed: Vec::new(),
            down: Vec::new(),
            started: Vec::new(),
            relocations,
            is_async,
            is_lossy,
            copies: copies.max(2),
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice.draw() % sides
    }

    fn host(&mut self) -> HostId {
        HOSTS[self.roll(3) as usize]
    }

    fn act(&mut self) {
        self.act_once();
        for host in HOSTS {
            if !self.cluster.is_alive(host) && !self.down.contains(&host) {
                self.started.retain(|(at, ..)| *at != host);
                self.down.push(host);
                self.unnoticed.push(host);
            }
        }
    }

    fn act_once(&mut self) {
        let nth = self.roll(16) as usize;
        match self.roll(100) {
            0..40 => {
                self.cluster.deliver_nth(nth);
            }
            40..65 => {
                let host = self.host();
                self.cluster.end_sync_of(host, nth);
            }
            65..77 => self.write(),
            77..84 => self.show_state(),
            84..88 => self.cluster.tick(Duration::from_millis(300)),
            88..92 => self.process_reports(),
            92..94 => self.control(),
            94 => self.expel(),
            95 => {
                let (one, other) = (self.host(), self.host());
                self.cluster.break_connection(one, other);
            }
            96 => {
                let (one, other) = (self.host(), self.host());
                self.cluster.cut(one, other);
            }
            97 => self.cluster.heal(),
            98 => self.crash(),
            _ => self.restart(),
        }
    }

    fn write(&mut self) {
        let id = self.roll(6).to_string();
        let text = format!("t{}", self.asked.len());
        let call = if self.roll(4) == 0 { WriteCall::delete(&*id) } else { index(&id, &text) };
        let digest = call.source().map(|source| Digest::of(source.as_bytes()));
        // A client routes by a state that may be old.
        let back = self.roll(3) as usize;
        let state = self.states[self.states.len().saturating_sub(1 + back)].clone();
        if let Some(token) = self.cluster.write_as_routed(&state, call) {
            self.asked.insert(token, (id, digest));
        }
    }

    fn show_state(&mut self) {
        let host = self.host();
        let newest = self.states.len();
        let seen = self.seen[&host];
        if seen < newest && self.cluster.is_alive(host) {
            let shown = seen + 1 + self.roll((newest - seen) as u64) as usize;
            self.seen.insert(host, shown);
            let state = self.states[shown - 1].clone();
            self.cluster.show(host, &state);
            self.drop_settled();
        }
    }

    fn publish(&mut self) {
        self.cluster.state.version += 1;
        self.cluster.tell(format!("state {:?} {:?}", self.cluster.state.version, self.cluster.table()));
        self.states.push(Arc::new(self.cluster.state.clone()));
    }

    // As the control part of a node does: a report that a copy has started is sent again until a state that
    // the node sees shows it, or has another mind.
    fn send_started_again(&mut self) {
        self.drop_settled();
        for (_, allocation, term) in &self.started {
            self.cluster.mark_started(*allocation, *term);
        }
    }

    fn drop_settled(&mut self) {
        self.started.retain(|(host, allocation, term)| {
            let seen = self.seen[host].checked_sub(1).map(|newest| &self.states[newest]);
            let table = seen.and_then(|state| state.shard(&super::harness::shard()));
            let copy = table.filter(|table| table.term == *term).and_then(|table| table.copy(*allocation));
            let pending = copy.is_some_and(|copy| copy.state == CopyState::Initializing);
            pending && self.cluster.is_alive(*host)
        });
    }

    fn process_reports(&mut self) {
        let reports = std::mem::take(&mut self.cluster.reports);
        self.send_started_again();
        if reports.is_empty() && self.started.is_empty() {
            return;
        }
        for report in reports {
            match report {
                ShardReport::Started { allocation, term, .. } => {
                    self.cluster.mark_started(allocation, term);
                    let host = HOSTS.into_iter().find(|host| self.cluster.holds(*host, allocation));
                    self.started.extend(host.map(|host| (host, allocation, term)));
                }
                ShardReport::Failed { allocation, term, .. } if term >= self.cluster.table().term => {
                    let copy = self.cluster.table().copy(allocation).cloned();
                    let sole = copy.as_ref().is_some_and(|copy| copy.primary && copy.is_active())
                        && self.cluster.table().in_sync.len() == 1;
                    if sole {
                        self.unassign(allocation);
                    } else {
                        self.cancel_targets_of(allocation);
                        self.cluster.mark_failed(allocation);
                    }
                }
                ShardReport::Failed { .. } => {}
            }
        }
        self.publish();
    }

    fn cancel_targets_of(&mut self, source: AllocationId) {
        let table = self.cluster.table_mut();
        table
            .copies
            .retain(|copy| !(copy.state == CopyState::Initializing && copy.relocating == Some(source)));
        let ids: Vec<_> = table.copies.iter().filter_map(|copy| copy.allocation).collect();
        for copy in &mut table.copies {
            let cancelled = copy.relocating.is_some_and(|other| other == source || !ids.contains(&other));
            if cancelled && copy.state == CopyState::Relocating {
                (copy.state, copy.relocating) = (CopyState::Started, None);
            }
        }
    }

    // The node of a copy is gone.
    fn unassign(&mut self, allocation: AllocationId) {
        let Some(copy) = self.cluster.table().copy(allocation).cloned() else { return };
        self.cancel_targets_of(allocation);
        let in_sync = self.cluster.table().in_sync.contains(&allocation);
        let forget = self.roll(2) == 0;
        let table = self.cluster.table_mut();
        if !in_sync {
            table.copies.retain(|copy| copy.allocation != Some(allocation));
            return self.end_lost_relocations();
        }
        if !copy.primary {
            let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(allocation)).unwrap();
            (copy.node, copy.state, copy.relocating) = (None, CopyState::Unassigned, None);
            return self.end_lost_relocations();
        }
        // All initializing copies of the group are failed first.
        table
            .copies
            .retain(|copy| copy.state != CopyState::Initializing || copy.allocation == Some(allocation));
        let in_sync = table.in_sync.clone();
        let heir = table.copies.iter_mut().find(|copy| {
            copy.is_active()
                && copy.allocation != Some(allocation)
                && in_sync.contains(&copy.allocation.unwrap())
        });
        if let Some(heir) = heir {
            heir.primary = true;
            table.term = table.term.next();
            table.copies.retain(|copy| copy.allocation != Some(allocation));
            if forget {
                table.in_sync.remove(&allocation);
            }
        } else {
            let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(allocation)).unwrap();
            (copy.node, copy.state, copy.relocating) = (None, CopyState::Unassigned, None);
        }
        self.end_lost_relocations();
    }

    fn end_lost_relocations(&mut self) {
        let table = self.cluster.table_mut();
        let ids: Vec<_> = table.copies.iter().filter_map(|copy| copy.allocation).collect();
        for copy in &mut table.copies {
            if copy.relocating.is_some_and(|other| !ids.contains(&other)) {
                copy.relocating = None;
                if copy.state == CopyState::Relocating {
                    copy.state = CopyState::Started;
                }
            }
        }
    }

    /// The controller notices nodes that are gone, brings copies back and moves some.
    fn control(&mut self) {
        for host in std::mem::take(&mut self.unnoticed) {
            let here = |copy: &&crate::search::state::ShardCopy| copy.node == Some(host);
            let gone: Vec<_> =
                self.cluster.table().copies.iter().filter(here).filter_map(|copy| copy.allocation).collect();
            gone.into_iter().for_each(|allocation| self.unassign(allocation));
        }
        self.assign_primary();
        self.assign_replicas();
        if self.relocations && self.roll(4) == 0 {
            self.relocate();
        }
        self.publish();
    }

    fn holder_of(&self, allocation: AllocationId) -> Option<HostId> {
        HOSTS.into_iter().find(|host| self.cluster.holds(*host, allocation))
    }

    fn assign_primary(&mut self) {
        if self.cluster.table().primary().is_some() {
            return;
        }
        let in_sync = self.cluster.table().in_sync.clone();
        let found = in_sync.iter().find_map(|id| Some((*id, self.holder_of(*id)?)));
        let Some((allocation, host)) = found else { return };
        let table = self.cluster.table_mut();
        table.term = table.term.next();
        table.copies.iter_mut().for_each(|copy| copy.primary = false);
        if table.copy(allocation).is_none() {
            table.copies.push(crate::search::state::ShardCopy {
                primary: true,
                state: CopyState::Initializing,
                node: None,
                allocation: Some(allocation),
                relocating: None,
                failures: 0,
                unassigned: None,
            });
        }
        let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(allocation)).unwrap();
        (copy.primary, copy.node, copy.state) = (true, Some(host), CopyState::Initializing);
    }

    fn assign_replicas(&mut self) {
        if !self.cluster.table().primary().is_some_and(|primary| primary.is_active()) {
            return;
        }
        // Those that wait for their node: back there if it is up, else forgotten (sometimes).
        let waiting: Vec<_> = self
            .cluster
            .table()
            .copies
            .iter()
            .filter(|copy| copy.node.is_none())
            .filter_map(|copy| copy.allocation)
            .collect();
        for allocation in waiting {
            let back = self.holder_of(allocation).filter(|host| !self.is_used(*host));
            let forget = self.roll(4) == 0;
            let table = self.cluster.table_mut();
            let copy = table.copies.iter_mut().find(|copy| copy.allocation == Some(allocation)).unwrap();
            match back {
                Some(host) => (copy.node, copy.state) = (Some(host), CopyState::Initializing),
                None if forget => table.copies.retain(|copy| copy.allocation != Some(allocation)),
                None => {}
            }
        }
        let free = HOSTS.into_iter().find(|host| self.cluster.is_alive(*host) && !self.is_used(*host));
        if let Some(host) = free.filter(|_| self.cluster.table().copies.len() < self.copies) {
            self.cluster.add_copy(host, CopyState::Initializing);
            let last = self.cluster.table_mut().copies.last_mut().unwrap();
            last.primary = false;
        }
    }

    fn is_used(&self, host: HostId) -> bool {
        self.cluster.table().copies.iter().any(|copy| copy.node == Some(host))
    }

    fn relocate(&mut self) {
        let quiet = self.cluster.table().copies.iter().all(|copy| copy.state == CopyState::Started);
        let free = HOSTS.into_iter().find(|host| self.cluster.is_alive(*host) && !self.is_used(*host));
        let Some(free) = free.filter(|_| quiet) else { return };
        let moved = self.roll(self.cluster.table().copies.len() as u64) as usize;
        let source = self.cluster.table().copies[moved].allocation;
        let target = self.cluster.add_copy(free, CopyState::Initializing);
        let table = self.cluster.table_mut();
        let copy = &mut table.copies[moved];
        (copy.state, copy.relocating) = (CopyState::Relocating, Some(target));
        let primary = copy.primary;
        let copy = table.copies.last_mut().unwrap();
        (copy.primary, copy.relocating) = (primary, source);
    }

    // A node's session ends while its process lives: it goes on until it sees a state that says otherwise.
    fn expel(&mut self) {
        let primary = self.cluster.table().primary().and_then(|copy| copy.node);
        let host = self.host();
        let host = primary.filter(|_| self.dice.draw().is_multiple_of(2)).unwrap_or(host);
        if self.roll(3) == 0 && self.cluster.is_alive(host) && !self.unnoticed.contains(&host) {
            self.unnoticed.push(host);
            self.control();
        }
    }

    fn crash(&mut self) {
        let host = self.host();
        if !self.cluster.is_alive(host) {
            return;
        }
        match self.roll(2) {
            0 => self.cluster.kill(host),
            _ => {
                let effects = self.roll(20) as usize;
                self.cluster.die_after(host, effects);
            }
        }
    }

    fn restart(&mut self) {
        if self.down.is_empty() {
            return;
        }
        let nth = self.roll(self.down.len() as u64) as usize;
        let loss = [Loss::All, Loss::Nothing, Loss::Torn][self.roll(3) as usize];
        let loss = if self.is_async && !self.is_lossy { Loss::Nothing } else { loss };
        // The new session is only granted once the old one is known to be over.
        if self.unnoticed.contains(&self.down[nth]) {
            self.control();
        }
        let host = self.down.remove(nth);
        self.cluster.restart(host, loss);
        let seen = self.roll(self.states.len() as u64) as usize;
        self.seen.insert(host, seen);
        if seen > 0 {
            let state = self.states[seen - 1].clone();
            self.cluster.show(host, &state);
        }
    }

    fn calm_down(&mut self) {
        self.cluster.heal();
        self.cluster.spare_all();
        self.relocations = false;
        while !self.down.is_empty() {
            self.restart();
        }
        self.cluster.disks_are_quick = true;
        for _ in 0..200 {
            self.process_reports();
            self.control();
            let newest = self.states.last().unwrap().clone();
            for host in HOSTS {
                self.seen.insert(host, self.states.len());
                self.cluster.show(host, &newest);
            }
            self.drop_settled();
            self.cluster.pass(Duration::from_millis(500));
            let table = self.cluster.table();
            let started = table.copies.iter().all(|copy| copy.state == CopyState::Started);
            let sound = table.copies.iter().all(|copy| table.in_sync.contains(&copy.allocation.unwrap()));
            if started && sound && table.copies.len() >= 2 && self.cluster.reports.is_empty() {
                return;
            }
        }
        panic!("it never settles: {:?}", self.cluster.table());
    }

    fn acknowledged(&self) -> Acknowledged {
        let mut acknowledged = Acknowledged::new();
        for (token, result) in &self.cluster.written {
            let Ok(written) = result else { continue };
            let (id, digest) = self.asked[token].clone();
            let before = acknowledged.insert(written.seq_no, (written.term, id, digest));
            assert!(before.is_none(), "number {} was acknowledged twice", written.seq_no);
        }
        acknowledged
    }

    fn judge(&mut self) {
        let hosts: Vec<_> = self.cluster.table().copies.iter().filter_map(|copy| copy.node).collect();
        // One write more, so that nobody can be level by standing still.
        self.write();
        self.cluster.run();
        self.cluster.assert_copies_equal(&hosts);
        self.judge_primaries();
        if self.is_lossy {
            return;
        }
        let (docs, _) = self.cluster.inspect(hosts[0]).unwrap();
        for (seq_no, (term, id, digest)) in self.acknowledged() {
            let doc = docs.iter().find(|doc| doc.id == id);
            let doc = doc.unwrap_or_else(|| panic!("{id} of number {seq_no} is gone"));
            assert!(doc.seq_no >= seq_no, "{id}: {doc:?} is older than acknowledged number {seq_no}");
            if doc.seq_no == seq_no {
                assert_eq!((doc.term, doc.source), (term, digest), "{id} of number {seq_no}");
            }
        }
    }

    fn judge_primaries(&self) {
        let mut primaries: BTreeMap<Term, AllocationId> = BTreeMap::new();
        let mut appended: BTreeMap<(Term, SeqNo), Digest> = BTreeMap::new();
        let mut numbered: BTreeSet<(Term, SeqNo)> = BTreeSet::new();
        let mut removed: BTreeSet<AllocationId> = BTreeSet::new();
        for (_, event) in &self.cluster.events {
            match event {
                EventKind::PrimaryActivated { allocation, term, .. } => {
                    let acting = primaries.insert(*term, *allocation);
                    assert!(acting.is_none_or(|acting| acting == *allocation), "two primaries of {term}");
                }
                EventKind::PrimaryDeactivated { term, why, .. } if why == "handed-off" => {
                    primaries.remove(term);
                }
                EventKind::PrimaryAppended { term, seq_no, .. } => {
                    assert!(numbered.insert((*term, *seq_no)), "{term}/{seq_no} was numbered twice");
                }
                _ => {}
            }
            match event {
                EventKind::PrimaryAppended { term, seq_no, digest, .. }
                | EventKind::ReplicaAppended { term, seq_no, digest, .. } => {
                    let known = *appended.entry((*term, *seq_no)).or_insert(*digest);
                    assert_eq!(known, *digest, "{term}/{seq_no} is two operations");
                }
                EventKind::CopyRemoved { allocation, .. } => {
                    removed.insert(*allocation);
                }
                // A node that has just booted may see a state from before its copy was removed.
                EventKind::CopyFailed { allocation, why, .. } => {
                    assert!(removed.contains(allocation), "{why}")
                }
                _ => {}
            }
        }
    }
}

impl Drop for Fuzz {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.cluster.tell_story();
        }
    }
}

fn run(seed: u64, steps: usize) -> Vec<(HostId, EventKind)> {
    println!("seed {seed}");
    let mut fuzz = Fuzz::new(seed);
    for _ in 0..steps {
        fuzz.act();
    }
    fuzz.calm_down();
    fuzz.judge();
    std::mem::take(&mut fuzz.cluster.events)
}

#[test]
fn schedules_lose_nothing_and_end_equal() {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..500 {
        for (_, event) in run(seed, 1_500) {
            *names.entry(event.name()).or_default() += 1;
        }
    }
    // What the schedules must have met, or they prove nothing.
    for name in [
        "OperationsTrimmed",
        "ResyncStarted",
        "CopyFlushed",
        "TermAdopted",
        "CopyRemoved",
        "PrimaryDeactivated",
    ] {
        assert!(names.get(name).is_some_and(|count| *count > 10), "{name}: {names:?}");
    }
}

/// More seeds: `--ignored`, from `FUZZ_FROM` on.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::disallowed_methods, reason = "a range of seeds for a person")]
fn many_schedules_lose_nothing_and_end_equal() {
    let from: u64 = std::env::var("FUZZ_FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let count: u64 = std::env::var("FUZZ_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    for seed in from..from + count {
        let outcome = std::panic::catch_unwind(|| run(seed, 2_500));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

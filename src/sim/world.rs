//! World — decides how a run begins, goes on and ends, and holds what its hosts share. It never judges.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use madsim::{runtime::Handle, task::NodeId, time::TimeHandle};

use crate::{
    core::{ConnId, Deferred, DiskError, DiskOp, Entropy, FileName, Files},
    event::{EventKind, Outcome},
    name::{HostId, HostKind, SimTime},
    scenario::{
        cast::Part,
        dice::{DISK_SYNC, ENTROPY, START},
        plan::{Delay, Plan, Trigger},
    },
    sim::{
        Extensions, boot,
        clock::Clock,
        dice::Dice,
        disk::{AfterSync, Disk},
        fault::{Chore, Faults},
        halt::Halt,
        host,
        inbox::{Inbox, elapsed},
        net::{Arrival, Net},
        roles::Roles,
        trace::{Due, Recorder},
        wire::Wire,
    },
};

/// How long a supervisor takes to start a process that ended by itself.
const SUPERVISOR_DELAY: Duration = Duration::from_secs(2);

/// A process that has been started so often within [`START_INTERVAL`] is not started again by itself (systemd's
/// `DefaultStartLimitBurst` and `DefaultStartLimitIntervalSec`).
const START_BURST: usize = 5;
const START_INTERVAL: Duration = Duration::from_secs(10);

/// How long the world stays quiet at the end, after everything must have settled.
const QUIET: Duration = Duration::from_secs(2);

/// What the hosts of a run share.
pub struct World {
    plan: Plan,
    extensions: Extensions,
    halt: Halt,
    time: TimeHandle,
    dice: Dice,
    net: Mutex<Net>,
    disks: Mutex<BTreeMap<HostId, Disk<Wire>>>,
    clocks: Mutex<BTreeMap<HostId, Clock>>,
    recorder: Mutex<Recorder>,
    agenda: Mutex<Inbox<Chore>>,
    faults: Mutex<Faults>,
    /// Machines in madsim's terms, and how often each has started.
    machines: OnceLock<BTreeMap<HostId, NodeId>>,
    incarnations: Mutex<BTreeMap<HostId, u32>>,
    syncs: Mutex<BTreeMap<HostId, u64>>,
    /// When processes that ended by themselves were, or would have been, started again.
    halts: Mutex<BTreeMap<HostId, Vec<SimTime>>>,
    workload_is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A world in which nothing runs yet.
    pub fn new(plan: &Plan, extensions: Extensions, time: TimeHandle) -> Arc<Self> {
        Self::with_halt(plan, extensions, time, Halt::default())
    }

    /// The same, in which nothing goes on once it is asked to halt.
    pub(super) fn with_halt(plan: &Plan, extensions: Extensions, time: TimeHandle, halt: Halt) -> Arc<Self> {
        let dice = Dice::of(plan);
        let hosts = hosts_of(plan);
        let mut net = Net::new(time.clone(), dice.clone());
        for host in &hosts {
            net.add_host(*host, |from, to| link_delay(plan, from, to));
        }
        let clocks = hosts.iter().map(|host| (*host, Clock::draw(&dice, *host, &plan.clocks))).collect();
        Arc::new(Self {
            net: Mutex::new(net),
            disks: Mutex::new(hosts.iter().map(|host| (*host, Disk::of(disk_size(plan, *host)))).collect()),
            clocks: Mutex::new(clocks),
            recorder: Mutex::new(Recorder::new(time.clone(), Roles::new(plan), plan)),
            agenda: Mutex::default(),
            faults: Mutex::default(),
            machines: OnceLock::new(),
            incarnations: Mutex::default(),
            syncs: Mutex::default(),
            halts: Mutex::default(),
            workload_is_over: AtomicBool::new(false),
            plan: plan.clone(),
            extensions,
            halt,
            time,
            dice,
        })
    }

    /// Runs the plan from its first event to its last.
    pub async fn live(self: Arc<Self>) {
        let machines = hosts_of(&self.plan).into_iter().map(|host| (host, self.build(host))).collect();
        self.machines.set(machines).expect("a world is built once");
        self.record(None, self.run_started());
        self.schedule_plan();
        self.chores_until(SimTime::from(self.plan.duration)).await;
        self.begin_quiet();
        while let Some(end) = self.rest_end() {
            self.chores_until(end).await;
        }
        self.inspect();
        let end = SimTime(self.now().0 + QUIET.as_nanos() as u64);
        self.chores_until(end).await;
        self.record(None, EventKind::RunEnded);
    }

    fn run_started(&self) -> EventKind {
        let copies = self.plan.indices.iter().map(|index| index.shards * (1 + index.replicas)).sum();
        EventKind::RunStarted {
            scenario: self.plan.title.clone(),
            seed: self.plan.seed,
            servers: self.plan.zookeeper.servers.clone(),
            nodes: self.plan.nodes.iter().map(|node| node.host).collect(),
            copies,
            settle_bound: self.settle_bound().as_nanos() as u64,
            read_policy: self.plan.search.read_policy.name().into(),
            allocator: boot::allocator(self).make().name().into(),
        }
    }

    fn settle_bound(&self) -> Duration {
        crate::scenario::settle::settle_bound(&self.plan)
    }

    fn schedule_plan(&self) {
        for host in hosts_of(&self.plan) {
            self.plan_chore(self.start_time(host), Chore::Start(host));
        }
        for (step, fault) in (0..).zip(&self.plan.faults) {
            if let Trigger::At(at) = fault.trigger {
                self.plan_chore(SimTime::from(at), Chore::Strike(step));
            }
        }
        for (nth, step) in (0..).zip(&self.plan.steps) {
            if let Trigger::At(at) = step.trigger {
                self.plan_chore(SimTime::from(at), Chore::Step(nth));
            }
        }
    }

    /// Machines that start together do not start at one instant.
    fn start_time(&self, host: HostId) -> SimTime {
        let node = self.plan.nodes.iter().find(|node| node.host == host);
        let planned = node.map_or(Duration::ZERO, |node| node.joins_at);
        let late = self.dice.at(START, (host,)).exponential(Duration::from_millis(20));
        SimTime::from(planned + late)
    }

    /// Does what is due until `end`.
    async fn chores_until(self: &Arc<Self>, end: SimTime) {
        loop {
            let next = poll_fn(|cx| lock(&self.agenda).poll(&self.time, Some(end), cx)).await;
            let Some(chore) = next else { return };
            self.carry_out(chore);
        }
    }

    fn begin_quiet(&self) {
        self.workload_is_over.store(true, Ordering::Relaxed);
        self.record(None, EventKind::QuietBegan);
        let unmet = lock(&self.recorder).disarm();
        let why = "its event never came";
        for due in unmet {
            match due {
                Due::Fault(step) => self.record(None, EventKind::FaultMissed { step, what: why.into() }),
                Due::Step(step) => self.step_ended(step, Outcome::Failed, Some(why.into())),
            }
        }
    }

    /// Until when the run must go on for everything to settle, if that is not over.
    fn rest_end(&self) -> Option<SimTime> {
        let (last, open) = lock(&self.faults).last_change();
        let bound = self.settle_bound() + QUIET;
        let end = SimTime(last.0.max(open.0) + bound.as_nanos() as u64);
        (end > self.now()).then_some(end)
    }

    fn inspect(&self) {
        for host in hosts_of(&self.plan) {
            let is_core = host.kind != HostKind::Client || self.plan.part(host).is_core();
            if is_core && self.is_up(host) {
                self.net().push_local(host, self.now(), Arrival::Inspect);
            }
        }
    }

    fn build(self: &Arc<Self>, host: HostId) -> NodeId {
        let world = self.clone();
        let handle = Handle::current();
        // The first start is the plan's; until then the machine idles.
        let node = handle
            .create_node()
            .name(host.to_string())
            .init(move || world.halt.clone().part(live_as(world.clone(), host)));
        node.build().id()
    }

    fn machine(&self, host: HostId) -> NodeId {
        self.machines.get().expect("machines are built first")[&host]
    }

    /// Adds something to do.
    pub fn plan_chore(&self, due: SimTime, chore: Chore) {
        lock(&self.agenda).push(&self.time, due, chore);
    }

    /// Starts the process of a host that is down.
    pub fn start(&self, host: HostId) {
        if self.is_up(host) {
            return;
        }
        *lock(&self.incarnations).entry(host).or_insert(0) += 1;
        // A process that ends by itself and is started again disturbs nobody but itself, else a run of one
        // that does so for ever would never end.
        if self.incarnation(host) == 1 {
            self.note_change();
        }
        self.net().process_started(host);
        self.record(Some(host), EventKind::HostStarted { incarnation: self.incarnation(host) });
        Handle::current().restart(self.machine(host));
    }

    /// Kills a host's process, or its machine's power.
    pub fn crash(&self, host: HostId, power: bool) {
        let damages = if power {
            self.net().power_lost(host);
            self.on_disk(host, |disk| disk.power_lost(&self.dice, host))
        } else {
            self.process_died(host);
            Vec::new()
        };
        Handle::current().kill(self.machine(host));
        self.record(Some(host), EventKind::HostCrashed { power });
        for damage in damages {
            self.record(Some(host), damage);
        }
    }

    /// A host's machine loses power, and its disk is replaced.
    pub fn wipe(&self, host: HostId) {
        if self.is_up(host) {
            self.crash(host, true);
        }
        self.on_disk(host, Disk::wiped);
        self.record(Some(host), EventKind::DiskWiped);
    }

    /// A process ended itself; its supervisor starts it again.
    pub fn process_halted(&self, host: HostId, why: String) {
        self.process_died(host);
        Handle::current().kill(self.machine(host));
        self.record(Some(host), EventKind::HostHalted { why });
        let again = SimTime(self.now().0 + SUPERVISOR_DELAY.as_nanos() as u64);
        if self.may_start_again(host, again) {
            self.plan_chore(again, Chore::Start(host));
        }
    }

    fn may_start_again(&self, host: HostId, again: SimTime) -> bool {
        let mut halts = lock(&self.halts);
        let halts = halts.entry(host).or_default();
        let recent = again.0.saturating_sub(START_INTERVAL.as_nanos() as u64);
        halts.retain(|at| at.0 > recent);
        halts.push(again);
        halts.len() < START_BURST
    }

    /// A process that was started in vain too often gets another chance.
    pub fn start_what_gave_up(&self, host: HostId) {
        let gave_up = lock(&self.halts).remove(&host).is_some_and(|halts| halts.len() >= START_BURST);
        if gave_up && !self.is_up(host) && !self.faults().holds_down(host) {
            self.start(host);
        }
    }

    /// A server reads its files as a whole, or ends.
    fn refuses_to_start(&self, host: HostId, file: &FileName) {
        let error = "read failed: input/output error";
        self.record(Some(host), EventKind::DiskFailed { file: file.to_string(), error: error.into() });
        self.process_halted(host, format!("{file}: {error}"));
    }

    fn process_died(&self, host: HostId) {
        self.net().process_died(host);
        self.on_disk(host, Disk::process_died);
    }

    /// Stops scheduling a host's process.
    pub fn pause(&self, host: HostId) {
        Handle::current().pause(self.machine(host));
        self.record(Some(host), EventKind::HostPaused);
    }

    /// Schedules a host's process again.
    pub fn resume(&self, host: HostId) {
        Handle::current().resume(self.machine(host));
        self.record(Some(host), EventKind::HostResumed);
    }

    /// Records an event and lets the faults strike that wait for it.
    pub fn record(&self, host: Option<HostId>, kind: EventKind) {
        use EventKind::{SetupFailed, StepBegan, StepEnded};
        self.halt.heed();
        if matches!(kind, SetupFailed { .. } | StepBegan { .. } | StepEnded { .. }) {
            self.note_change();
        }
        let struck = lock(&self.recorder).record(host, kind);
        for due in struck {
            match due {
                Due::Fault(step) => self.strike(step, host),
                Due::Step(step) => self.take_step(step, host),
            }
        }
    }

    /// Sends a message, with a mark of how far the record had come: what causes what can be told by it.
    pub fn send(&self, from: HostId, conn: ConnId, message: Wire) {
        let sent = self.recorded();
        let lost = self.net().send(from, conn, message, sent);
        if let Some(to) = lost {
            self.record(Some(from), EventKind::ReplyLost { to });
        }
    }

    /// Events recorded so far.
    pub(super) fn recorded(&self) -> u64 {
        lock(&self.recorder).recorded()
    }

    fn carry_out(&self, chore: Chore) {
        match chore {
            Chore::Start(host) if self.faults().holds_down(host) => {}
            Chore::Start(host) => self.start(host),
            Chore::Strike(step) => self.strike(step, None),
            Chore::Step(step) => self.take_step(step, None),
            Chore::Undo(step) => self.undo(step),
        }
    }

    /// Who plays which part now.
    pub fn roles(&self) -> Roles {
        lock(&self.recorder).roles().clone()
    }

    /// The record so far: events, fingerprint, messages.
    pub fn finish(&self) -> (Vec<crate::event::Event>, u128, u64) {
        let mut recorder = lock(&self.recorder);
        let messages = recorder.messages();
        let (events, fingerprint) = recorder.finish();
        (events, fingerprint, messages)
    }

    /// Ends every process. A task that waits holds the world, and the world the waker that holds the task:
    /// nothing of a run would ever be freed.
    pub fn end(&self) {
        for machine in self.machines.get().into_iter().flat_map(BTreeMap::values) {
            Handle::current().kill(*machine);
        }
    }

    /// What ends the run before its time.
    pub(crate) fn halt(&self) -> Halt {
        self.halt.clone()
    }

    /// What the caller brought into the run.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The dice of the run.
    pub fn dice(&self) -> Dice {
        self.dice.clone()
    }

    /// Simulated time.
    pub fn now(&self) -> SimTime {
        elapsed(&self.time)
    }

    /// The network.
    pub fn net(&self) -> MutexGuard<'_, Net> {
        lock(&self.net)
    }

    /// The faults under way.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// A host's clocks.
    pub fn clock(&self, host: HostId) -> Clock {
        lock(&self.clocks)[&host]
    }

    /// Sets a host's clocks.
    pub fn set_clock(&self, host: HostId, set: impl FnOnce(&mut Clock, SimTime)) {
        let now = self.now();
        let mut clocks = lock(&self.clocks);
        let clock = clocks.get_mut(&host).expect("every host has clocks");
        set(clock, now);
        let (offset_ms, drift_ppm) = clock.errors();
        drop(clocks);
        self.record(Some(host), EventKind::ClockSet { offset_ms, drift_ppm });
        if self.is_up(host) {
            self.net().push_local(host, now, Arrival::ClockSet);
        }
    }

    /// Whether the process runs (it may be paused).
    pub fn is_up(&self, host: HostId) -> bool {
        self.net().is_up(host)
    }

    /// Whether clients are to stop asking.
    pub fn workload_is_over(&self) -> bool {
        self.workload_is_over.load(Ordering::Relaxed)
    }

    /// Does something with a host's disk.
    pub fn on_disk<T>(&self, host: HostId, work: impl FnOnce(&mut Disk<Wire>) -> T) -> T {
        work(lock(&self.disks).get_mut(&host).expect("every host has a disk"))
    }

    /// What a booting process finds.
    pub fn files(&self, host: HostId) -> Files {
        self.on_disk(host, |disk| disk.files())
    }

    /// Changes a host's disk.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub fn change_disk(&self, host: HostId, op: DiskOp) -> Result<(), DiskError> {
        self.on_disk(host, |disk| disk.change(op))
    }

    /// The process is told that the disk has refused something: what the disk holds then.
    pub fn refusal_told(&self, host: HostId, file: &FileName) -> Files {
        self.on_disk(host, |disk| {
            disk.told(file);
            disk.files()
        })
    }

    /// What a process that runs reads of a file that was damaged under it.
    pub fn reread(&self, host: HostId, file: &FileName) -> Option<Arc<[u8]>> {
        self.on_disk(host, |disk| disk.reread(file))
    }

    /// Takes an effect that waits for a sync; gives it back if it need not wait.
    pub fn after_sync(&self, host: HostId, file: &FileName, then: Deferred<Wire>) -> Option<Deferred<Wire>> {
        let answer = self.on_disk(host, |disk| disk.after_sync(file, then));
        match answer {
            AfterSync::Now(then) => Some(then),
            AfterSync::Waits => None,
            AfterSync::Begin => {
                self.begin_sync(host, file);
                None
            }
        }
    }

    fn begin_sync(&self, host: HostId, file: &FileName) {
        let mut syncs = lock(&self.syncs);
        let nth = syncs.entry(host).or_insert(0);
        *nth += 1;
        let now = self.now();
        let usual = self.faults().slow_disk(host).unwrap_or(self.plan.disks.sync);
        let delay = self.dice.at(DISK_SYNC, (host, *nth)).delay_at(now, usual);
        let due = SimTime(now.0 + delay.as_nanos() as u64);
        self.net().push_local(host, due, Arrival::Synced { file: file.clone() });
    }

    /// A sync ended: what it released.
    ///
    /// # Errors
    ///
    /// If it failed.
    pub fn file_synced(&self, host: HostId, file: &FileName) -> Result<Vec<Deferred<Wire>>, DiskError> {
        let (released, again) = self.on_disk(host, |disk| disk.synced(file))?;
        if again {
            self.begin_sync(host, file);
        }
        Ok(released)
    }

    /// How often the host has started.
    pub fn incarnation(&self, host: HostId) -> u32 {
        lock(&self.incarnations).get(&host).copied().unwrap_or(0)
    }

    /// The seed a process gets at this start.
    pub fn entropy(&self, host: HostId) -> Entropy {
        Entropy::new(self.dice.at(ENTROPY, (host, self.incarnation(host))).bits())
    }
}

/// The life of a host's process, from start to death.
async fn live_as(world: Arc<World>, host: HostId) {
    let incarnation = world.incarnation(host);
    if incarnation == 0 {
        return;
    }
    match host.kind {
        HostKind::ZooKeeper => {
            if let Some(file) = world.on_disk(host, |disk| disk.unreadable()) {
                world.refuses_to_start(host, &file);
                return std::future::pending().await;
            }
            let core = boot::server(&world, host);
            host::drive(world, host, incarnation, core).await;
        }
        HostKind::Search => {
            let core = boot::node(&world, host);
            host::drive(world, host, incarnation, core).await;
        }
        HostKind::Client => match world.plan().part(host) {
            Part::ZooKeeper { table } => {
                let core = boot::zookeeper_client(&world, host, table);
                host::drive(world, host, incarnation, core).await;
            }
            Part::Recipe { table } => {
                let core = boot::recipe_client(&world, host, table);
                host::drive(world, host, incarnation, core).await;
            }
            Part::Administrator => {
                let core = boot::administrator(&world, host);
                host::drive(world, host, incarnation, core).await;
            }
            Part::Operator | Part::Documents { .. } => crate::workload::live(world, host).await,
        },
    }
}

/// Every machine of a plan: servers, nodes and clients.
pub(super) fn hosts_of(plan: &Plan) -> Vec<HostId> {
    let clients = plan.clients().into_iter().map(|(host, _)| host);
    let nodes = plan.nodes.iter().map(|node| node.host);
    plan.servers().chain(nodes).chain(clients).collect()
}

/// The size of a search node's disk, if it has one.
fn disk_size(plan: &Plan, host: HostId) -> Option<u64> {
    plan.nodes.iter().find(|node| node.host == host)?.disk
}

fn link_delay(plan: &Plan, from: HostId, to: HostId) -> Delay {
    let pair = plan.links.pairs.iter().find(|(a, b, _)| (*a, *b) == (from, to));
    match pair {
        Some((_, _, delay)) => *delay,
        None if zone(plan, from) == zone(plan, to) => plan.links.within_zone,
        None => plan.links.between_zones,
    }
}

/// A search node's own zone; ZooKeeper servers are spread over the zones, clients live in the first.
fn zone(plan: &Plan, host: HostId) -> Option<&str> {
    let mut zones: Vec<&str> = Vec::new();
    for node in &plan.nodes {
        if node.host == host {
            return Some(&node.zone);
        }
        if !zones.contains(&node.zone.as_str()) {
            zones.push(&node.zone);
        }
    }
    let nth = if host.kind == HostKind::ZooKeeper { host.number as usize - 1 } else { 0 };
    zones.get(nth % zones.len().max(1)).copied()
}

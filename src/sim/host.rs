//! Host — decides in which order a core's wishes are carried out, and that a crash can fall between any
//! two. It never knows what a core is about.

use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use crate::{
    core::{Core, Deferred, DiskError, Effect, FileName, Input, Output},
    event::EventKind,
    name::{HostId, SimTime},
    sim::{
        clock::Clock,
        disk::Usage,
        net::Arrival,
        wire::{Speaks, Wire},
        world::World,
    },
};

/// Wakes in a row at one simulated moment after which a core is taken to be stuck.
const WAKES_IN_A_ROW_MAX: u32 = 10_000;

/// Drives a core until its host dies.
pub(super) async fn drive<C>(world: Arc<World>, host: HostId, incarnation: u32, core: C)
where
    C: Speaks,
{
    let out = Output::new(u64::from(incarnation) << 32);
    let clock = world.clock(host);
    let inputs = VecDeque::from([Input::Start]);
    let mut driver = Driver { world, host, clock, core, out, inputs, refused: Vec::new(), wakes: 0 };
    while driver.world.is_up(host) {
        let Some(input) = driver.inputs.pop_front() else {
            driver.wait().await;
            continue;
        };
        driver.step(input);
    }
    std::future::pending::<()>().await;
}

struct Driver<C: Core> {
    world: Arc<World>,
    host: HostId,
    clock: Clock,
    core: C,
    out: Output<C::Message>,
    /// Inputs that are due now.
    inputs: VecDeque<Input<C::Message>>,
    /// What the disk has refused in this step.
    refused: Vec<(FileName, DiskError)>,
    wakes: u32,
}

impl<C> Driver<C>
where
    C: Speaks,
{
    /// Waits for the next input.
    async fn wait(&mut self) {
        let wake = self.core.next_wake().map(|at| self.clock.when(at));
        let (world, host) = (&self.world, self.host);
        match poll_fn(|cx| world.net().poll(host, wake, cx)).await {
            None => self.woken(wake),
            Some(arrival) => {
                self.wakes = 0;
                self.arrive(arrival);
            }
        }
    }

    fn woken(&mut self, wake: Option<SimTime>) {
        self.wakes += 1;
        let stuck = self.wakes > WAKES_IN_A_ROW_MAX;
        assert!(!stuck, "{} asks again and again to be woken at {wake:?}", self.host);
        self.inputs.push_back(Input::Wake);
    }

    fn arrive(&mut self, arrival: Arrival) {
        let input = match arrival {
            Arrival::Connected { conn } => Input::Connected { conn },
            Arrival::Accepted { conn, from, port } => Input::Accepted { conn, from, port },
            Arrival::Message { conn, from, message, sent } => {
                self.note(EventKind::Delivered { from, message: message.label(), sent });
                let Some(message) = C::hear(message) else { return };
                Input::Received { conn, message }
            }
            Arrival::Closed { conn, peer, reason } => {
                self.note(EventKind::ConnectionEnded { peer, reason });
                Input::Closed { conn, reason }
            }
            Arrival::Synced { file } => {
                let released = match self.world.file_synced(self.host, &file) {
                    Ok(released) => released,
                    Err(error) => return self.tell_refusal(file, error),
                };
                self.note(EventKind::FileSynced { file: file.to_string() });
                for deferred in released {
                    if !self.world.is_up(self.host) {
                        return;
                    }
                    self.release(deferred);
                }
                return;
            }
            Arrival::Reread { file } => {
                let Some(bytes) = self.world.reread(self.host, &file) else { return };
                Input::Reread { file, bytes }
            }
            Arrival::ClockSet => {
                self.clock = self.world.clock(self.host);
                return;
            }
            Arrival::Inspect => Input::Inspect,
        };
        self.inputs.push_back(input);
    }

    /// The core learns of a refusal before anything else.
    fn tell_refusal(&mut self, file: FileName, error: DiskError) {
        let found = self.world.refusal_told(self.host, &file);
        self.note(EventKind::DiskFailed { file: file.to_string(), error: error.to_string().into() });
        self.inputs.push_front(Input::DiskFailed { file, error, found });
    }

    fn step(&mut self, input: Input<C::Message>) {
        let before = self.clock.now(self.world.now());
        self.core.step(before, input, &mut self.out);
        let effects: Vec<_> = self.out.drain().collect();
        for effect in effects {
            // A fault can strike only at an event; anything else leaves the process alive.
            let may_die = matches!(effect, Effect::Note(_) | Effect::Halt { .. } | Effect::AfterSync { .. });
            self.carry_out(effect);
            if may_die && !self.world.is_up(self.host) {
                return;
            }
        }
        for (file, error) in std::mem::take(&mut self.refused) {
            self.tell_refusal(file, error);
        }
    }

    fn carry_out(&mut self, effect: Effect<C::Message>) {
        match effect {
            Effect::Note(event) => self.note(event),
            Effect::Dial { conn, to } => self.world.net().dial(self.host, conn, to),
            Effect::Send { conn, message } => self.world.send(self.host, conn, C::say(message)),
            Effect::Close { conn } => self.world.net().close(self.host, conn),
            Effect::Disk(op) => {
                let file = op.file().clone();
                if let Err(error) = self.world.change_disk(self.host, op) {
                    self.refused.push((file, error));
                }
            }
            Effect::AfterSync { file, then } => {
                let then = into_wire::<C>(then);
                if let Some(then) = self.world.after_sync(self.host, &file, then) {
                    self.release(then);
                }
            }
            Effect::MeasureDisk => {
                let usage = self.world.on_disk(self.host, |disk| disk.usage());
                self.inputs.extend(usage.map(|Usage { total, free, files }| Input::DiskMeasured {
                    total,
                    free,
                    files,
                }));
            }
            Effect::Halt { why } => self.world.process_halted(self.host, why),
        }
    }

    fn release(&mut self, deferred: Deferred<Wire>) {
        match deferred {
            Deferred::Send { conn, message } => self.world.send(self.host, conn, message),
            Deferred::Tell { token } => self.inputs.push_back(Input::Synced { token }),
            Deferred::Note(event) => self.note(event),
        }
    }

    fn note(&self, event: EventKind) {
        self.world.record(Some(self.host), event);
    }
}

fn into_wire<C>(deferred: Deferred<C::Message>) -> Deferred<Wire>
where
    C: Speaks,
{
    match deferred {
        Deferred::Send { conn, message } => Deferred::Send { conn, message: C::say(message) },
        Deferred::Tell { token } => Deferred::Tell { token },
        Deferred::Note(event) => Deferred::Note(event),
    }
}

//! Fixed draws — decides which draws show what the plan says, and keeps count of them. It never draws anything.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::scenario::dice::{FixedDraw, Value};

/// Every fixed draw of a run, by the hash of its key.
#[derive(Debug)]
pub(super) struct Fixed {
    by_hash: BTreeMap<u64, usize>,
    draws: Vec<Arc<Draw>>,
}

/// One of them.
#[derive(Debug)]
struct Draw {
    fixed: FixedDraw,
    values: Vec<Value>,
    is_asked: AtomicBool,
    is_out_of_range: AtomicBool,
}

impl Fixed {
    /// Those of a plan; none if it fixes nothing. `hash` gives the hash of a key, if it is one.
    pub(super) fn of(draws: &[FixedDraw], hash: impl Fn(&FixedDraw) -> Option<u64>) -> Option<Arc<Self>> {
        let hashes = draws.iter().enumerate().filter_map(|(at, fixed)| Some((hash(fixed)?, at)));
        let by_hash = hashes.collect();
        let draw = |fixed: &FixedDraw| {
            let values = fixed.question().and_then(|question| fixed.values(question).ok());
            Arc::new(Draw {
                fixed: fixed.clone(),
                values: values.unwrap_or_default(),
                is_asked: AtomicBool::new(false),
                is_out_of_range: AtomicBool::new(false),
            })
        };
        let draws: Vec<_> = draws.iter().map(draw).collect();
        (!draws.is_empty()).then(|| Arc::new(Self { by_hash, draws }))
    }

    /// What the die of this key shows.
    pub(super) fn at(&self, hash: u64) -> Option<Showing> {
        let draw = self.draws[*self.by_hash.get(&hash)?].clone();
        draw.is_asked.store(true, Ordering::Relaxed);
        Some(Showing { draw, shown: 0 })
    }

    /// Which of them came to nothing, and why.
    pub(super) fn loose(&self) -> Vec<String> {
        let one = |(nth, draw): (usize, &Arc<Draw>)| {
            let why = if !draw.is_asked.load(Ordering::Relaxed) {
                "was never drawn in this run"
            } else if draw.is_out_of_range.load(Ordering::Relaxed) {
                "was out of the range of what is drawn there, and was drawn as without it"
            } else {
                return None;
            };
            Some(format!("[[dice]] {nth}: {} {why}", draw.fixed))
        };
        (1..).zip(&self.draws).filter_map(one).collect()
    }
}

/// What a die shows before it is drawn.
#[derive(Debug, Clone)]
pub(super) struct Showing {
    draw: Arc<Draw>,
    shown: usize,
}

impl Showing {
    /// The next value, or what was drawn if there is no other or it cannot be drawn there.
    pub(super) fn next<T>(&mut self, drawn: T, read: impl FnOnce(Value) -> Option<T>) -> T {
        let Some(value) = self.draw.values.get(self.shown) else { return drawn };
        self.shown += 1;
        read(*value).unwrap_or_else(|| {
            self.draw.is_out_of_range.store(true, Ordering::Relaxed);
            drawn
        })
    }
}

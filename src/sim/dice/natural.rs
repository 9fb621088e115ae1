//! Natural draws — decides how numbers and spans are made of one generator. It never knows whose draw it is.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::{
    name::SimTime,
    scenario::plan::{Delay, DelayShape},
};

/// The generator behind one key.
#[derive(Debug, Clone)]
pub(super) struct Natural(Xoshiro256PlusPlus);

impl Natural {
    /// The one of this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number in `[0, 1)`.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// A number in `[-max, max]`.
    pub(super) fn within(&mut self, max: i64) -> i64 {
        self.0.random_range(-max..=max)
    }

    /// Any 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True with this chance, 0 to 1.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A span with this mean, exponentially distributed. The logarithm is not the platform's, whose last bit
    /// differs between machines.
    pub(super) fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-libm::log(1.0 - self.unit()))
    }

    /// A delay of this distribution, as its mean is on average.
    pub(super) fn delay(&mut self, delay: Delay) -> Duration {
        let rest = delay.mean.saturating_sub(delay.min);
        delay.min
            + match delay.shape {
                DelayShape::Exponential => self.exponential(rest),
                DelayShape::Constant => rest,
                DelayShape::Uniform => rest.mul_f64(2.0 * self.unit()),
                DelayShape::LogNormal => rest.mul_f64(libm::exp(self.normal() - 0.5)),
                DelayShape::SlowTail => self.slow_tail(rest),
            }
    }

    /// A delay at this time of a run: the mean of one that varies swings between its least and what is as far above.
    pub(super) fn delay_at(&mut self, at: SimTime, delay: Delay) -> Duration {
        let Some(period) = delay.period else { return self.delay(delay) };
        let turn = at.since_start().as_secs_f64() / period.as_secs_f64();
        let swing = 1.0 + libm::sin(std::f64::consts::TAU * turn.fract());
        let rest = delay.mean.saturating_sub(delay.min).mul_f64(swing.max(0.0));
        self.delay(Delay { mean: delay.min + rest, ..delay })
    }

    // Box and Muller's.
    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    // One in a hundred takes twenty times as long; the others are the shorter for it.
    fn slow_tail(&mut self, rest: Duration) -> Duration {
        let is_slow = self.chance(0.01);
        let one = self.exponential(rest.div_f64(1.19));
        if is_slow { one * 20 } else { one }
    }
}

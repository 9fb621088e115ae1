//! Dice — decides every chance of a run, each by its own key. It never keeps a sequence.
//!
//! `dice.at("net.delay", (from, to, nth))` hashes seed and key: taking one message away, or adding one
//! draw, shifts no other.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::{
    name::SimTime,
    scenario::plan::{Delay, DelayShape},
};

/// The dice of a run.
#[derive(Debug, Clone, Copy)]
pub struct Dice {
    seed: u64,
}

impl Dice {
    /// The dice of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The die for one question; asked again with the same key it shows the same.
    pub fn at(&self, question: &str, key: impl Hash) -> Die {
        let mut hasher = KeyHasher { seed: self.seed, short: [0; SHORT], len: 0, long: None };
        question.hash(&mut hasher);
        key.hash(&mut hasher);
        Die(Xoshiro256PlusPlus::seed_from_u64(hasher.finish()))
    }
}

/// A key of up to so many bytes is hashed in one go.
const SHORT: usize = 128;

/// XXH3 of a key with the seed of the run. To prepare XXH3 for input of any length costs ten times what a short
/// key does.
struct KeyHasher {
    seed: u64,
    short: [u8; SHORT],
    len: usize,
    long: Option<Box<Xxh3>>,
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match &mut self.long {
            None if end <= SHORT => {
                self.short[self.len..end].copy_from_slice(bytes);
                self.len = end;
            }
            long => {
                let (seed, short) = (self.seed, &self.short[..self.len]);
                let begin = || {
                    let mut hasher = Box::new(Xxh3::with_seed(seed));
                    hasher.update(short);
                    hasher
                };
                long.get_or_insert_with(begin).update(bytes);
            }
        }
    }

    fn finish(&self) -> u64 {
        match &self.long {
            Some(long) => long.digest(),
            None => xxh3_64_with_seed(&self.short[..self.len], self.seed),
        }
    }
}

/// One die: the generator behind one key.
#[derive(Debug, Clone)]
pub struct Die(Xoshiro256PlusPlus);

impl Die {
    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// A number in `[-max, max]`.
    pub fn within(&mut self, max: i64) -> i64 {
        self.0.random_range(-max..=max)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True with this chance, 0 to 1.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A span with this mean, exponentially distributed. The logarithm is not the platform's, whose last bit
    /// differs between machines.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-libm::log(1.0 - self.unit()))
    }

    /// A delay of this distribution, as its mean is on average.
    pub fn delay(&mut self, delay: Delay) -> Duration {
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
    pub fn delay_at(&mut self, at: SimTime, delay: Delay) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_key_shows_the_same_whatever_was_asked_between() {
        let dice = Dice::new(7);
        let first = dice.at("net.delay", (1, 2, 3)).bits();
        dice.at("net.delay", (1, 2, 4)).bits();
        assert_eq!(dice.at("net.delay", (1, 2, 3)).bits(), first);
    }

    #[test]
    fn short_and_long_keys_are_hashed_alike() {
        for len in [0, 1, 60, 127, 128, 129, 500] {
            let bytes: Vec<u8> = (0..len).map(|nth| nth as u8).collect();
            let mut hasher = KeyHasher { seed: 7, short: [0; SHORT], len: 0, long: None };
            bytes.chunks(50).for_each(|chunk| hasher.write(chunk));
            assert_eq!(hasher.finish(), xxh3_64_with_seed(&bytes, 7), "{len} bytes");
        }
    }

    #[test]
    fn key_question_and_seed_each_matter() {
        let dice = Dice::new(7);
        let first = dice.at("a", 1).bits();
        assert_ne!(dice.at("b", 1).bits(), first);
        assert_ne!(dice.at("a", 2).bits(), first);
        assert_ne!(Dice::new(8).at("a", 1).bits(), first);
    }

    #[test]
    fn delays_keep_their_minimum_and_mean() {
        let plain = Delay::exponential(Duration::from_micros(100), Duration::from_micros(300));
        let dice = Dice::new(1);
        use DelayShape::{Constant, Exponential, LogNormal, SlowTail, Uniform};
        for shape in [Exponential, Constant, Uniform, LogNormal, SlowTail] {
            let delay = Delay { shape, ..plain };
            let drawn: Vec<_> = (0..10_000).map(|nth| dice.at("d", nth).delay(delay)).collect();
            assert!(drawn.iter().all(|d| *d >= delay.min));
            let mean = drawn.iter().sum::<Duration>() / 10_000;
            assert!((280..320).contains(&mean.as_micros()), "{shape:?}: {mean:?}");
        }
    }

    #[test]
    fn varying_delay_swings_within_its_period() {
        let period = Some(Duration::from_secs(4));
        let shape = DelayShape::Constant;
        let delay = Delay { min: Duration::ZERO, mean: Duration::from_millis(10), shape, period };
        let at = |second: u64| {
            let at = SimTime(second * 1_000_000_000);
            Dice::new(1).at("d", second).delay_at(at, delay).as_millis()
        };
        assert_eq!([at(0), at(1), at(2), at(3), at(5)], [10, 20, 10, 0, 20]);
    }
}

//! Dice — decides every chance of a run, each by its own key. It never keeps a sequence.
//!
//! `dice.at("net.delay", (from, to, nth))` hashes seed and key: taking one message away, or adding one
//! draw, shifts no other.

mod fixed;
mod natural;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use self::{
    fixed::{Fixed, Showing},
    natural::Natural,
};
use crate::{
    name::SimTime,
    scenario::{
        dice::{FixedDraw, Question, Value},
        plan::{Delay, Plan},
    },
};

/// The dice of a run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    fixed: Option<Arc<Fixed>>,
}

/// What the dice can be asked with a key of type `K`: a question of the table, or the name of one of a caller's own.
pub trait Asks<K> {
    /// Its name.
    fn name(&self) -> &str;
}

impl<K> Asks<K> for Question<K> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<K> Asks<K> for &str {
    fn name(&self) -> &str {
        self
    }
}

impl Dice {
    /// The dice of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, fixed: None }
    }

    /// The dice of a plan: of its seed, with what it fixes.
    pub fn of(plan: &Plan) -> Self {
        let hash = |fixed: &FixedDraw| {
            let mut hasher = KeyHasher::new(plan.seed);
            fixed.question()?.hash(&fixed.at, &mut hasher).ok()?;
            Some(hasher.finish())
        };
        Self { seed: plan.seed, fixed: Fixed::of(&plan.dice, hash) }
    }

    /// The die for one question; asked again with the same key it shows the same.
    pub fn at<K: Hash>(&self, question: impl Asks<K>, key: K) -> Die {
        let mut hasher = KeyHasher::new(self.seed);
        question.name().hash(&mut hasher);
        key.hash(&mut hasher);
        let hash = hasher.finish();
        let showing = self.fixed.as_ref().and_then(|fixed| fixed.at(hash));
        Die { natural: Natural::new(hash), showing }
    }

    /// Which fixed draws came to nothing until now, and why, for people.
    pub fn loose(&self) -> Vec<String> {
        self.fixed.as_ref().map(|fixed| fixed.loose()).unwrap_or_default()
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

impl KeyHasher {
    fn new(seed: u64) -> Self {
        Self { seed, short: [0; SHORT], len: 0, long: None }
    }
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

/// One die: what is drawn of one key. Where the plan fixes what it shows, the generator behind it goes on all the same,
/// so that what is drawn after it is not shifted.
#[derive(Debug, Clone)]
pub struct Die {
    natural: Natural,
    showing: Option<Showing>,
}

impl Die {
    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        let drawn = self.natural.unit();
        self.shown(drawn, |value| match value {
            Value::Share(share) => Some(share),
            _ => None,
        })
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let drawn = self.natural.below(end);
        self.shown(drawn, |value| number(value).filter(|number| *number < end))
    }

    /// A number in `[-max, max]`.
    pub fn within(&mut self, max: i64) -> i64 {
        let drawn = self.natural.within(max);
        self.shown(drawn, |value| match value {
            Value::Number(number) => Some(number).filter(|number| (-max..=max).contains(number)),
            _ => None,
        })
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        let drawn = self.natural.bits();
        self.shown(drawn, number)
    }

    /// True with this chance, 0 to 1.
    pub fn chance(&mut self, share: f64) -> bool {
        let drawn = self.natural.chance(share);
        self.shown(drawn, |value| match value {
            Value::Flag(flag) => Some(flag),
            Value::Share(drawn) => Some(drawn < share),
            _ => None,
        })
    }

    /// A span with this mean, exponentially distributed. The logarithm is not the platform's, whose last bit
    /// differs between machines.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let drawn = self.natural.exponential(mean);
        self.shown(drawn, span)
    }

    /// A delay of this distribution, as its mean is on average.
    pub fn delay(&mut self, delay: Delay) -> Duration {
        let drawn = self.natural.delay(delay);
        self.shown(drawn, span)
    }

    /// A delay at this time of a run: the mean of one that varies swings between its least and what is as far above.
    pub fn delay_at(&mut self, at: SimTime, delay: Delay) -> Duration {
        let drawn = self.natural.delay_at(at, delay);
        self.shown(drawn, span)
    }

    fn shown<T>(&mut self, drawn: T, read: impl FnOnce(Value) -> Option<T>) -> T {
        match &mut self.showing {
            None => drawn,
            Some(showing) => showing.next(drawn, read),
        }
    }
}

fn number(value: Value) -> Option<u64> {
    match value {
        Value::Number(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn span(value: Value) -> Option<Duration> {
    match value {
        Value::Span(span) => Some(span),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::HostId,
        scenario::{
            dice::{DISK_CRASH, NET_DELAY, Part, Shown, Written},
            plan::DelayShape,
        },
    };

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
            let mut hasher = KeyHasher::new(7);
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

    fn fixing(key: &str, at: &[Part], value: Shown) -> Dice {
        let mut plan = crate::scenario::format::Scenario::default().plan(7);
        plan.dice = vec![FixedDraw { key: key.into(), at: at.to_vec(), value }];
        Dice::of(&plan)
    }

    fn host(name: &str) -> Part {
        Part::Text(name.into())
    }

    #[test]
    fn fixed_draw_shows_its_value_and_no_other_changes() {
        let at = [host("zk-1"), host("zk-2"), Part::Number(17)];
        let fixed = fixing("net.delay", &at, Shown::One(Written::Span("3s".into())));
        let delay = Delay::exponential(Duration::from_micros(100), Duration::from_micros(300));
        let drawn = |dice: &Dice, nth: u64| {
            let mut die = dice.at(NET_DELAY, (HostId::zookeeper(1), HostId::zookeeper(2), nth));
            (die.delay(delay), die.bits())
        };
        assert_eq!(fixed.loose().len(), 1);
        let plain = Dice::new(7);
        assert_eq!(drawn(&fixed, 17), (Duration::from_secs(3), drawn(&plain, 17).1));
        assert_eq!(drawn(&fixed, 16), drawn(&plain, 16));
        assert_eq!(fixed.loose(), [""; 0]);
    }

    #[test]
    fn number_that_cannot_be_drawn_there_is_told() {
        let at = [host("zk-1"), Part::Number(1), host("log")];
        let fixed = fixing("disk.crash", &at, Shown::Several(vec![Written::Number(2), Written::Number(40)]));
        let key = || (HostId::zookeeper(1), 1, "log".into());
        let mut die = fixed.at(DISK_CRASH, key());
        assert_eq!((die.below(4), die.below(41)), (2, 40));
        assert_eq!(fixed.loose(), [""; 0]);
        let mut die = fixed.at(DISK_CRASH, key());
        assert!(die.below(4) == 2 && die.below(40) < 40);
        assert!(fixed.loose()[0].contains("disk.crash of zk-1, 1, log was out of the range"));
    }
}

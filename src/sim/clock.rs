//! Clock — decides what a host's clocks show at a simulated time. It never advances time: madsim does.

use crate::{
    core::{Instant, Now},
    name::{HostId, SimTime},
    scenario::{dice::CLOCK, plan::ClockPlan},
    sim::dice::Dice,
};

/// Wall time at the start of a run, for a clock without error: 2026-01-01T00:00:00Z in ms since 1970.
const WALL_START_MS: i64 = 1_767_225_600_000;

/// One host's clocks: a wall clock with an offset, a monotonic clock with an arbitrary origin, and a drift
/// that both share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    offset_ms: i64,
    origin: u64,
    drift_ppm: i64,
    /// Since when the drift is as it is, and what had passed by this clock until then.
    since: SimTime,
    passed: u64,
}

impl Clock {
    /// Draws the clock of `host`.
    pub fn draw(dice: &Dice, host: HostId, plan: &ClockPlan) -> Self {
        let mut die = dice.at(CLOCK, (host,));
        Self {
            offset_ms: die.within(plan.offset_max.as_millis() as i64),
            drift_ppm: die.within(plan.drift_max_ppm as i64),
            // Never near zero, so that a core cannot mistake "since boot" for "since the origin".
            origin: 3_600_000_000_000 + die.below(3_600_000_000_000),
            since: SimTime(0),
            passed: 0,
        }
    }

    /// What the monotonic clock showed when the run began.
    pub fn start(&self) -> Instant {
        Instant(self.origin)
    }

    /// What the clocks show.
    pub fn now(&self, at: SimTime) -> Now {
        let elapsed = self.local(at.0);
        let wall_ms = WALL_START_MS + self.offset_ms + (elapsed / 1_000_000) as i64;
        Now { mono: Instant(self.origin + elapsed), wall_ms }
    }

    /// The first simulated time at which the monotonic clock shows `instant` or later.
    pub fn when(&self, instant: Instant) -> SimTime {
        let ahead = instant.0.saturating_sub(self.origin).saturating_sub(self.passed) as u128;
        let at = ahead * 1_000_000 / (1_000_000 + self.drift_ppm) as u128;
        let at = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(self.since.0);
        // Rounding can put the estimate off by one either way.
        let late_enough =
            (at.saturating_sub(1)..).take(4).find(|at| self.origin + self.local(*at) >= instant.0);
        SimTime(late_enough.unwrap_or(at))
    }

    /// The wall clock is put forward or back; the monotonic one goes on.
    pub fn jump(&mut self, by_ms: i64) {
        self.offset_ms += by_ms;
    }

    /// From this time on both clocks run faster by so many parts per million more.
    pub fn drift(&mut self, at: SimTime, by_ppm: i64) {
        (self.passed, self.since) = (self.local(at.0), at);
        self.drift_ppm += by_ppm;
    }

    /// By how much the wall clock was put forward, in milliseconds, and how fast both run, in parts per million.
    pub fn errors(&self) -> (i64, i64) {
        (self.offset_ms, self.drift_ppm)
    }

    fn local(&self, at: u64) -> u64 {
        let elapsed = at.saturating_sub(self.since.0);
        self.passed + (elapsed as i128 + elapsed as i128 * self.drift_ppm as i128 / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn drawn(drift_max_ppm: u32) -> Clock {
        let plan = ClockPlan { offset_max: Duration::from_secs(5), drift_max_ppm };
        Clock::draw(&Dice::new(3), HostId::zookeeper(1), &plan)
    }

    #[test]
    fn when_is_the_first_time_that_shows_the_instant() {
        let clock = drawn(500);
        for at in [0, 1, 999_999, 1_000_000_007, 61_234_567_891] {
            let shown = clock.now(SimTime(at)).mono;
            let when = clock.when(shown);
            assert!(clock.now(when).mono >= shown);
            assert!(when.0 <= at && at - when.0 <= 1, "{when:?} for {at}");
        }
    }

    #[test]
    fn fast_clock_gains_its_drift() {
        let clock = Clock { offset_ms: 0, origin: 0, drift_ppm: 100, since: SimTime(0), passed: 0 };
        assert_eq!(clock.now(SimTime(10_000_000_000)).mono.0, 10_001_000_000);
    }

    #[test]
    fn drift_from_a_moment_on_changes_nothing_before_it() {
        let mut clock = drawn(0);
        let [moment, later] = [5_000_000_000, 15_000_000_000].map(SimTime);
        let before = clock.now(moment);
        clock.drift(moment, -100_000);
        assert_eq!(clock.now(moment), before);
        let shown = clock.now(later).mono;
        assert_eq!(shown.since(clock.now(moment).mono), Duration::from_secs(9));
        assert!(later.0 - clock.when(shown).0 <= 1, "{:?}", clock.when(shown));
        clock.drift(later, 100_000);
        assert_eq!(clock.now(later).mono, shown);
    }

    #[test]
    fn jump_moves_the_wall_clock_alone() {
        let mut clock = drawn(0);
        let before = clock.now(SimTime(7_000_000));
        clock.jump(-5_000);
        let after = clock.now(SimTime(7_000_000));
        assert_eq!((after.mono, after.wall_ms), (before.mono, before.wall_ms - 5_000));
    }
}

//! Timing — decides how long a client waits for what. It never looks at a clock.
//!
//! The rules are those of `ClientCnxn.java`, which counts in whole milliseconds; here spans are exact.

use std::time::Duration;

use crate::core::Entropy;

/// Longest silence of a client that wakes up anyway (`MAX_SEND_PING_INTERVAL`).
const PING_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// A client that was silent for longer than this pings this much sooner, if it wakes up anyway
/// (`timeToNextPing` in `ClientCnxn.java`).
const PING_HASTE: Duration = Duration::from_secs(1);

/// What the client takes to clean up after a lost connection (`ClientCnxnSocketNIO.cleanup`).
const CLEANUP: Duration = Duration::from_millis(100);

/// Once it has been connected, a client waits for a random part of this before it dials
/// (`ClientCnxn.startConnect`).
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// What it waits on top when it has tried every server in turn (the argument of `HostProvider.next`).
const ROUND_DELAY: Duration = Duration::from_secs(1);

/// Waiting times that follow from a session timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    /// How long a dial may take, and again how long the answer to the first frame.
    pub(super) connect: Duration,
    /// How long a server may be silent.
    pub(super) read: Duration,
    /// How long nothing may be heard at all, if the client judges that itself.
    pub(super) expiry: Duration,
}

impl Timing {
    /// The waiting times for this session timeout and number of servers.
    pub(super) fn new(timeout: Duration, servers: usize) -> Self {
        Self { connect: timeout / servers as u32, read: timeout * 2 / 3, expiry: timeout * 4 / 3 }
    }

    /// Whether a client that sent nothing for this long and is awake has to ping.
    pub(super) fn ping_is_due(&self, idle: Duration) -> bool {
        self.next_ping(idle).is_zero() || idle > PING_INTERVAL_MAX
    }

    /// In what time it wakes up to ping.
    pub(super) fn next_ping(&self, idle: Duration) -> Duration {
        let haste = if idle > PING_HASTE { PING_HASTE } else { Duration::ZERO };
        (self.read / 2).saturating_sub(idle + haste)
    }
}

/// How many servers the client has tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// There are others to try yet.
    GoesOn,
    /// All of them, in turn.
    IsOver,
}

/// How long a client waits between a lost connection and the next dial.
pub(super) fn pause(entropy: &mut Entropy, has_connected: bool, round: Round) -> Duration {
    let random = match has_connected {
        true => Duration::from_nanos(entropy.draw() % RECONNECT_DELAY_MAX.as_nanos() as u64),
        false => Duration::ZERO,
    };
    let rest = if round == Round::IsOver { ROUND_DELAY } else { Duration::ZERO };
    CLEANUP + rest + random
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// `connectTimeout = negotiatedSessionTimeout / hostProvider.size()`
    #[test]
    fn connect_timeout_is_the_session_timeout_over_the_servers() {
        assert_eq!(Timing::new(millis(6_000), 3).connect, millis(2_000));
        assert_eq!(Timing::new(millis(6_000), 1).connect, millis(6_000));
    }

    /// `readTimeout = negotiatedSessionTimeout * 2 / 3`, and `expirationTimeout = … * 4 / 3`
    #[test]
    fn read_timeout_is_two_thirds_and_expiry_four_thirds() {
        let timing = Timing::new(millis(6_000), 3);
        assert_eq!((timing.read, timing.expiry), (millis(4_000), millis(8_000)));
    }

    /// `timeToNextPing = readTimeout / 2 - idleSend - (idleSend > 1000 ? 1000 : 0)`
    #[test]
    fn ping_is_due_after_half_of_the_read_timeout_or_a_second_sooner_if_awake() {
        let timing = Timing::new(millis(12_000), 3);
        assert_eq!(timing.next_ping(Duration::ZERO), millis(4_000));
        assert_eq!(timing.next_ping(millis(1_000)), millis(3_000));
        assert_eq!(timing.next_ping(millis(2_000)), millis(1_000));
        assert!(!timing.ping_is_due(millis(2_999)));
        assert!(timing.ping_is_due(millis(3_000)));
    }

    /// `clientCnxnSocket.getIdleSend() > MAX_SEND_PING_INTERVAL`, ten seconds
    #[test]
    fn ping_is_due_after_ten_seconds_however_long_the_timeout() {
        let timing = Timing::new(millis(120_000), 3);
        assert!(!timing.ping_is_due(millis(10_000)));
        assert!(timing.ping_is_due(millis(10_001)));
    }

    /// `Thread.sleep(100)` in cleanup, `nextLong(1000)` unless `isFirstConnect`, `next(1000)` at the end of a
    /// round
    #[test]
    fn pause_is_a_tenth_then_up_to_a_second_and_one_more_after_a_round() {
        let mut entropy = Entropy::new(3);
        assert_eq!(pause(&mut entropy, false, Round::GoesOn), millis(100));
        assert_eq!(pause(&mut entropy, false, Round::IsOver), millis(1_100));
        let pauses: Vec<_> = (0..1_000).map(|_| pause(&mut entropy, true, Round::GoesOn)).collect();
        assert!(pauses.iter().all(|pause| (millis(100)..millis(1_100)).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < millis(200)));
        assert!(pauses.iter().any(|pause| *pause > millis(1_000)));
    }
}

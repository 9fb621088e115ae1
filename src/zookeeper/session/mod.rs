//! Sessions — decides who a client is to the ensemble: its id, password and timeout. It never says when a
//! session ends: see [`SessionTracker`].

mod local;
mod tracker;

pub use self::{local::LocalSessionTracker, tracker::SessionTracker};
use super::wire::{EnsembleConfig, Password};
use crate::name::SessionId;

/// The ids that one server gives out: server id in the top byte, then 40 bits of clock, then a counter of
/// 16 bits (`SessionTrackerImpl.java`, `initializeNextSessionId`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionIds {
    next: u64,
}

impl SessionIds {
    /// Starts from the clock, in milliseconds, that this server's monotonic clock shows at boot: so ids of
    /// two incarnations differ.
    pub fn new(server: u8, clock_ms: u64) -> Self {
        Self { next: (u64::from(server) << 56) | ((clock_ms << 24) >> 8) }
    }

    /// A fresh id.
    pub fn draw(&mut self) -> SessionId {
        let id = SessionId(self.next);
        self.next += 1;
        id
    }
}

/// The password of a session. Every server computes it from the id alone, so it needs no state
/// (`ZooKeeperServer.java`, `generatePasswd`: 16 bytes of `java.util.Random`).
pub fn password(session: SessionId) -> Password {
    const SECRET: u64 = 0xb341_5c00;
    let mut random = JavaRandom::new(session.0 ^ SECRET);
    (0..4).fold(0, |password, _| (password << 32) | u128::from(random.draw().swap_bytes()))
}

/// The timeout a client gets for the one it asked for: at least 2 and at most 20 ticks. Negotiated again
/// at every reconnect.
pub fn negotiate_timeout_ms(asked_ms: u64, config: &EnsembleConfig) -> u64 {
    asked_ms.clamp(config.session_timeout_min_ms(), config.session_timeout_max_ms())
}

/// The documented generator of `java.util.Random`.
struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: u64) -> Self {
        Self((seed ^ Self::MULTIPLIER) & Self::MASK)
    }

    /// `nextInt()`.
    fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xb) & Self::MASK;
        (self.0 >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    #[test]
    fn timeout_is_clamped_to_two_and_twenty_ticks() {
        let servers = vec![HostId::zookeeper(1)];
        let config = EnsembleConfig { servers, ..EnsembleConfig::default() };
        for (asked, granted) in
            [(0, 4_000), (4_000, 4_000), (9_999, 9_999), (40_001, 40_000), (u64::MAX, 40_000)]
        {
            assert_eq!(negotiate_timeout_ms(asked, &config), granted, "{asked}");
        }
    }

    /// "top byte server id, then 40 bits of clock, 16 bits counter"
    #[test]
    fn id_holds_server_clock_and_counter() {
        let mut ids = SessionIds::new(0x83, 0x5512_3456_789a);
        assert_eq!(ids.draw(), SessionId(0x8312_3456_789a_0000));
        assert_eq!(ids.draw().0 & 0xffff, 1);
    }

    #[test]
    fn generator_is_that_of_java() {
        let mut random = JavaRandom::new(42);
        assert_eq!((random.draw() as i32, random.draw() as i32), (-1_170_105_035, 234_785_527));
    }

    #[test]
    fn password_depends_on_the_id_alone() {
        assert_eq!(password(SessionId(7)), password(SessionId(7)));
        assert_ne!(password(SessionId(7)), password(SessionId(8)));
    }
}

//! Creates — decides which node a create asks for: op code and flags can disagree. It never makes one.
//!
//! `CreateMode.fromFlag`, `PrepRequestProcessor.pRequest2TxnCreate` and `Op.Create`; the cases in which they
//! surprise were put to a 3.8.0 server.

use super::codes::{CREATE_CONTAINER, CREATE_TTL};
use crate::zookeeper::wire::{Compat, CreateMode, ZkError};

/// The numbers of create modes.
pub(super) mod flag {
    pub(in super::super) const PERSISTENT: i32 = 0;
    pub(in super::super) const EPHEMERAL: i32 = 1;
    pub(in super::super) const PERSISTENT_SEQUENTIAL: i32 = 2;
    pub(in super::super) const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub(in super::super) const CONTAINER: i32 = 4;
    pub(in super::super) const TTL: i32 = 5;
    pub(in super::super) const TTL_SEQUENTIAL: i32 = 6;
}

/// What the flags alone say. A TTL mode takes the request's ttl.
fn by_flags(flags: i32, ttl_ms: i64) -> Result<CreateMode, ZkError> {
    Ok(match flags {
        flag::PERSISTENT => CreateMode::Persistent,
        flag::EPHEMERAL => CreateMode::Ephemeral,
        flag::PERSISTENT_SEQUENTIAL => CreateMode::PersistentSequential,
        flag::EPHEMERAL_SEQUENTIAL => CreateMode::EphemeralSequential,
        flag::CONTAINER => CreateMode::Container,
        flag::TTL => CreateMode::PersistentTtl { ttl_ms },
        flag::TTL_SEQUENTIAL => CreateMode::PersistentSequentialTtl { ttl_ms },
        _ => return Err(ZkError::BadArguments),
    })
}

fn is_ttl(mode: CreateMode) -> bool {
    matches!(mode, CreateMode::PersistentTtl { .. } | CreateMode::PersistentSequentialTtl { .. })
}

/// The mode of a create on its own. "The opcode decides: any persistent flag makes a container; flag 4 sent
/// by opcode 1/15 makes a plain persistent node". A TTL flag keeps its mode and gets a ttl that no mode
/// allows unless the op code is createTTL; createTTL with any other flag is refused.
pub(super) fn mode_alone(code: i32, flags: i32, ttl_ms: Option<i64>) -> Result<CreateMode, ZkError> {
    let mode = by_flags(flags, ttl_ms.unwrap_or(-1))?;
    match code {
        _ if is_ttl(mode) => Ok(mode),
        CREATE_TTL => Err(ZkError::BadArguments),
        CREATE_CONTAINER if mode.is_sequential() => Ok(CreateMode::ContainerSequential),
        CREATE_CONTAINER => Ok(CreateMode::Container),
        _ if mode == CreateMode::Container => Ok(CreateMode::Persistent),
        _ => Ok(mode),
    }
}

/// The mode of a create within a multi, where the flags decide; or what refuses it when its turn comes: a
/// TTL flag without a ttl then refuses all with MarshallingError, an unknown flag only itself.
///
/// # Errors
///
/// What refuses the whole multi at once: from 3.9 on, an unknown flag.
pub(super) fn mode_in_multi(
    flags: i32,
    ttl_ms: Option<i64>,
    compat: Compat,
) -> Result<Result<CreateMode, ZkError>, ZkError> {
    match by_flags(flags, ttl_ms.unwrap_or(-1)) {
        Ok(mode) if is_ttl(mode) && ttl_ms.is_none() => Ok(Err(ZkError::MarshallingError)),
        Err(_) if compat == Compat::V3_9 => Err(ZkError::MarshallingError),
        mode => Ok(mode),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::codes::*, *};

    #[test]
    fn op_code_decides_over_container_flags() {
        assert_eq!(mode_alone(CREATE, flag::CONTAINER, None), Ok(CreateMode::Persistent));
        for flags in [flag::PERSISTENT, flag::EPHEMERAL, flag::CONTAINER] {
            assert_eq!(mode_alone(CREATE_CONTAINER, flags, None), Ok(CreateMode::Container));
        }
        let sequential = mode_alone(CREATE_CONTAINER, flag::PERSISTENT_SEQUENTIAL, None);
        assert_eq!(sequential, Ok(CreateMode::ContainerSequential));
    }

    /// "flag number unknown: BadArguments"
    #[test]
    fn unknown_flag_is_refused_by_every_op_code() {
        for (code, flags) in [(CREATE, 7), (CREATE_2, -1), (CREATE_CONTAINER, 99), (CREATE_TTL, 8)] {
            assert_eq!(mode_alone(code, flags, Some(1)), Err(ZkError::BadArguments));
        }
    }

    #[test]
    fn ttl_flag_without_ttl_gets_one_that_is_refused_later() {
        assert_eq!(mode_alone(CREATE, flag::TTL, None), Ok(CreateMode::PersistentTtl { ttl_ms: -1 }));
    }

    /// "mode 0 with ttl -1 is let through and poisons the log": not here.
    #[test]
    fn create_ttl_of_another_mode_is_refused() {
        for ttl in [5, 0, -1] {
            assert_eq!(mode_alone(CREATE_TTL, flag::PERSISTENT, Some(ttl)), Err(ZkError::BadArguments));
        }
    }

    #[test]
    fn flags_decide_within_a_multi() {
        let mode = |flags, ttl_ms| mode_in_multi(flags, ttl_ms, Compat::V3_8);
        assert_eq!(mode(flag::CONTAINER, None), Ok(Ok(CreateMode::Container)));
        assert_eq!(mode(flag::PERSISTENT, Some(5)), Ok(Ok(CreateMode::Persistent)));
        assert_eq!(mode(99, None), Ok(Err(ZkError::BadArguments)));
        assert_eq!(mode(flag::TTL, None), Ok(Err(ZkError::MarshallingError)));
        assert_eq!(mode_in_multi(99, None, Compat::V3_9), Err(ZkError::MarshallingError));
    }
}

//! Validation — decides which requests a client refuses without asking a server. It never judges what only a
//! server can know.

use crate::zookeeper::{
    tree::path::validate as validate_path,
    wire::{CreateMode, Op, ZkError},
};

/// Longest life of a TTL node, in milliseconds (`EphemeralType.TTL.maxValue`).
const TTL_MS_MAX: i64 = 0xff_ffff_ffff;

/// Accepts what the methods of `ZooKeeper.java` accept.
///
/// # Errors
///
/// BadArguments where they throw IllegalArgumentException; InvalidACL for an empty list.
pub(super) fn validate(op: &Op) -> Result<(), ZkError> {
    match op {
        Op::Create { acl, .. } => {
            created(op)?;
            if acl.is_empty() { Err(ZkError::InvalidAcl) } else { Ok(()) }
        }
        Op::SetAcl { path, acl, .. } => {
            validate_path(path)?;
            if acl.is_empty() { Err(ZkError::InvalidAcl) } else { Ok(()) }
        }
        Op::Multi(ops) => ops.iter().try_for_each(within_multi),
        Op::MultiRead(ops) => ops.iter().try_for_each(within_multi),
        Op::GetEphemerals { prefix } => validate_path(prefix),
        Op::DeleteContainer { .. } => Ok(()),
        op => op.named_path().map_or(Ok(()), validate_path),
    }
}

/// Access lists within a multi are left to the server (`Op.validate`).
fn within_multi(op: &Op) -> Result<(), ZkError> {
    match op {
        Op::Create { .. } => created(op),
        op => validate(op),
    }
}

/// The last name of a sequential node may be empty: the number makes one.
fn created(op: &Op) -> Result<(), ZkError> {
    let Op::Create { path, mode, .. } = op else { return Ok(()) };
    if mode.is_sequential() {
        validate_path(&format!("{path}1"))?
    } else {
        validate_path(path)?
    }
    match mode {
        CreateMode::PersistentTtl { ttl_ms } | CreateMode::PersistentSequentialTtl { ttl_ms }
            if !(1..=TTL_MS_MAX).contains(ttl_ms) =>
        {
            Err(ZkError::BadArguments)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zookeeper::wire::Acl;

    fn create(path: &str, mode: CreateMode) -> Op {
        Op::create(path, None, mode)
    }

    #[test]
    fn malformed_path_is_bad_arguments_in_every_op() {
        let path = || "a".to_owned();
        let ops = [
            create("a", CreateMode::Persistent),
            Op::Delete { path: path(), version: -1 },
            Op::GetData { path: path(), watch: false },
            Op::Sync { path: path() },
            Op::GetEphemerals { prefix: path() },
            Op::Multi(vec![Op::Check { path: path(), version: 0 }]),
        ];
        for op in ops {
            assert_eq!(validate(&op), Err(ZkError::BadArguments), "{op:?}");
        }
    }

    /// `validatePath(isSequential ? path + "1" : path)`
    #[test]
    fn only_a_sequential_node_may_have_an_empty_name() {
        assert_eq!(validate(&create("/a/", CreateMode::PersistentSequential)), Ok(()));
        assert_eq!(validate(&create("/a/", CreateMode::Persistent)), Err(ZkError::BadArguments));
    }

    #[test]
    fn ttl_is_from_one_to_two_to_the_forty() {
        let ttl = |ttl_ms| validate(&create("/a", CreateMode::PersistentTtl { ttl_ms }));
        assert_eq!([0, -1, TTL_MS_MAX + 1].map(ttl), [Err(ZkError::BadArguments); 3]);
        assert_eq!([1, TTL_MS_MAX].map(ttl), [Ok(()); 2]);
    }

    #[test]
    fn empty_access_list_is_invalid_outside_a_multi() {
        let acl = Acl::new([]);
        let op = Op::Create { path: "/a".into(), data: None, acl, mode: CreateMode::Persistent };
        assert_eq!(validate(&op), Err(ZkError::InvalidAcl));
        assert_eq!(validate(&Op::Multi(vec![op])), Ok(()));
    }
}

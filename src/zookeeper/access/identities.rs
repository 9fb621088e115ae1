//! Identities — decides who a connection is. It never decides what it may do.

use std::sync::Arc;

use super::{
    DIGEST, IP, SUPER,
    digest::{digest_of, user},
};
use crate::zookeeper::wire::{EnsembleConfig, Id};

/// Who every connection from this address is, before it says anything.
pub fn identity_of(address: &str) -> Id {
    Id::new(IP, address)
}

/// The identities that a credential proves; none if the scheme is unknown: AuthFailed, and the connection
/// is closed (`ZooKeeperServer.processPacket`, `handleAuthentication` of the providers). Whoever shows the
/// credential of the super user is that as well.
pub fn authenticate(
    scheme: &str,
    credential: &[u8],
    address: &str,
    config: &EnsembleConfig,
) -> Option<Vec<Id>> {
    match scheme {
        DIGEST => {
            let digest = digest_of(&String::from_utf8_lossy(credential));
            let is_super = config.super_digest.as_ref() == Some(&digest);
            let more = is_super.then(|| Id::new(SUPER, ""));
            Some(more.into_iter().chain([Id::new(DIGEST, digest)]).collect())
        }
        IP => Some(vec![identity_of(address)]),
        _ => None,
    }
}

/// A connection's identities with some more, each of them once. Their order shows in whoAmI and in what
/// `auth` becomes: it is that of the concurrent hash set in which ZooKeeper keeps them.
pub fn join(ids: &[Id], more: impl IntoIterator<Item = Id>) -> Arc<[Id]> {
    let mut all = ids.to_vec();
    for id in more {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    let buckets = buckets_for(all.len());
    all.sort_by_key(|id| spread_hash(id) & (buckets - 1));
    all.into()
}

/// What whoAmI shows: digests and the super user without anything secret.
pub fn names(ids: &[Id]) -> Vec<Id> {
    let name = |id: &Id| match id.scheme.as_str() {
        DIGEST => Id::new(DIGEST, user(&id.id)),
        IP => id.clone(),
        scheme => Id::new(scheme, ""),
    };
    ids.iter().map(name).collect()
}

/// The table starts with 16 buckets and doubles when three quarters are in use.
fn buckets_for(count: usize) -> u32 {
    let mut buckets = 16;
    while count >= buckets / 4 * 3 {
        buckets *= 2;
    }
    buckets as u32
}

/// `Id.hashCode`, with the high half mixed into the low one as `ConcurrentHashMap` does.
fn spread_hash(id: &Id) -> u32 {
    let add = |hash: u32, text: &str| hash.wrapping_mul(37).wrapping_add(string_hash(text));
    let hash = add(add(17, &id.scheme), &id.id);
    hash ^ (hash >> 16)
}

/// `String.hashCode`.
fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1";

    fn config() -> EnsembleConfig {
        EnsembleConfig { super_digest: Some(digest_of("super:test")), ..EnsembleConfig::default() }
    }

    fn with(credentials: &[&str]) -> Arc<[Id]> {
        let prove = |credential: &&str| authenticate(DIGEST, credential.as_bytes(), HERE, &config()).unwrap();
        let start: Arc<[Id]> = [identity_of(HERE)].into();
        credentials.iter().map(prove).fold(start, |ids, more| join(&ids, more))
    }

    fn shown(ids: &[Id]) -> Vec<(String, String)> {
        names(ids).into_iter().map(|Id { scheme, id }| (scheme, id)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(scheme, id)| (scheme.to_string(), id.to_string())).collect()
    }

    /// The recordings `auth_multiple_ids` and `super_user` of a 3.8.0 server.
    #[test]
    fn who_am_i_lists_in_the_order_of_the_hash_set() {
        assert_eq!(shown(&with(&[])), pairs(&[(IP, HERE)]));
        let two = with(&["u1:p", "u2:p", "u1:p"]);
        assert_eq!(shown(&two), pairs(&[(DIGEST, "u2"), (DIGEST, "u1"), (IP, HERE)]));
        let all = with(&["super:test"]);
        assert_eq!(shown(&all), pairs(&[(SUPER, ""), (IP, HERE), (DIGEST, "super")]));
    }

    #[test]
    fn unknown_scheme_fails_and_wrong_super_password_is_an_ordinary_user() {
        for scheme in ["world", "super", "auth", "sasl", "x509", ""] {
            assert_eq!(authenticate(scheme, b"super:test", HERE, &config()), None, "{scheme}");
        }
        assert_eq!(authenticate(DIGEST, b"super:no", HERE, &config()).unwrap().len(), 1);
        assert_eq!(authenticate(DIGEST, b"super:test", HERE, &EnsembleConfig::default()).unwrap().len(), 1);
        assert_eq!(authenticate(IP, b"", HERE, &config()), Some(vec![identity_of(HERE)]));
    }

    #[test]
    fn table_doubles_when_three_quarters_are_in_use() {
        assert_eq!([1, 11, 12, 23, 24].map(buckets_for), [16, 16, 32, 32, 64]);
    }
}

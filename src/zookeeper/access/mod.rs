//! Access — decides who may do what with a znode, and which lists a znode may have. It never looks at a
//! tree.
//!
//! The rules are those of `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL` and of the two
//! authentication providers that a server has unless it is told otherwise: `digest` and `ip`.

mod digest;
mod identities;
mod ip;

pub use self::{
    digest::digest_of,
    identities::{authenticate, identity_of, join, names},
};
use super::wire::{Acl, AclEntry, Id, ZkError, perms};

/// The scheme of a user with a password.
const DIGEST: &str = "digest";
/// The scheme of an address.
const IP: &str = "ip";
/// The scheme whose bearer passes every check.
const SUPER: &str = "super";
/// The scheme of everybody.
const WORLD: &str = "world";
/// The scheme that stands, in a request, for whoever asks.
const AUTH: &str = "auth";

/// Whether a connection with these identities may do one of these things (bits of [`perms`]) under this
/// list. An empty list allows everything (`ZooKeeperServer.checkACL`).
///
/// # Errors
///
/// NoAuth.
pub fn permit(acl: &Acl, wanted: i32, ids: &[Id]) -> Result<(), ZkError> {
    let allows = |entry: &AclEntry| entry.perms & wanted != 0 && is_meant(&entry.id, ids);
    let allowed = *acl == Acl::open()
        || acl.is_empty()
        || ids.iter().any(|id| id.scheme == SUPER)
        || acl.iter().any(allows);
    if allowed { Ok(()) } else { Err(ZkError::NoAuth) }
}

/// Whether an entry's id means a connection with these identities.
fn is_meant(meant: &Id, ids: &[Id]) -> bool {
    let same = |id: &Id| match meant.scheme.as_str() {
        DIGEST => id.scheme == DIGEST && id.id == meant.id,
        IP => id.scheme == IP && ip::matches(&id.id, &meant.id),
        _ => false,
    };
    is_everybody(meant) || ids.iter().any(same)
}

fn is_everybody(id: &Id) -> bool {
    id.scheme == WORLD && id.id == "anyone"
}

/// The list that a node gets for the one that a request has: every entry once, `auth` expanded to the
/// identities for which the connection has given a proof (`PrepRequestProcessor.fixupACL`).
///
/// # Errors
///
/// InvalidACL if the list is empty, has an unknown scheme or an id that its scheme does not allow, or if
/// `auth` stands for nobody.
pub fn expand(acl: &Acl, ids: &[Id]) -> Result<Acl, ZkError> {
    if *acl == Acl::open() {
        return Ok(Acl::open());
    }
    let mut expanded = Vec::with_capacity(acl.len());
    for (position, entry) in acl.iter().enumerate() {
        if !acl[..position].contains(entry) {
            expand_entry(entry, ids, &mut expanded)?;
        }
    }
    if expanded.is_empty() { Err(ZkError::InvalidAcl) } else { Ok(Acl::new(expanded)) }
}

fn expand_entry(entry: &AclEntry, ids: &[Id], expanded: &mut Vec<AclEntry>) -> Result<(), ZkError> {
    let id = &entry.id;
    let valid = match id.scheme.as_str() {
        AUTH => {
            let before = expanded.len();
            let proven = ids.iter().filter(|id| id.scheme == DIGEST).cloned();
            expanded.extend(proven.map(|id| AclEntry { perms: entry.perms, id }));
            return if expanded.len() > before { Ok(()) } else { Err(ZkError::InvalidAcl) };
        }
        DIGEST => digest::is_valid(&id.id),
        IP => ip::is_valid(&id.id),
        _ => is_everybody(id),
    };
    expanded.extend(valid.then(|| entry.clone()));
    if valid { Ok(()) } else { Err(ZkError::InvalidAcl) }
}

/// What getACL shows a connection with these identities: without ADMIN, digests are hidden, so that
/// nobody can guess passwords offline.
pub fn shown(acl: &Acl, ids: &[Id]) -> Acl {
    if permit(acl, perms::ADMIN, ids).is_ok() {
        return acl.clone();
    }
    let hidden = |entry: &AclEntry| match entry.id.id.split_once(':') {
        Some((user, _)) if entry.id.scheme == DIGEST => {
            AclEntry { id: Id::new(DIGEST, format!("{user}:x")), ..entry.clone() }
        }
        _ => entry.clone(),
    };
    Acl::new(acl.iter().map(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: i32, scheme: &str, id: &str) -> AclEntry {
        AclEntry { perms, id: Id::new(scheme, id) }
    }

    fn acl(entries: &[(i32, &str, &str)]) -> Acl {
        Acl::new(entries.iter().map(|(perms, scheme, id)| entry(*perms, scheme, id)))
    }

    fn local() -> Id {
        identity_of("127.0.0.1")
    }

    fn digest(credential: &str) -> Id {
        Id::new(DIGEST, digest_of(credential))
    }

    #[test]
    fn any_bit_of_any_matching_entry_permits() {
        let list = acl(&[(perms::READ, WORLD, "anyone"), (perms::WRITE | perms::ADMIN, DIGEST, "u:h")]);
        let user = [local(), Id::new(DIGEST, "u:h")];
        for (wanted, stranger, known) in [
            (perms::READ, true, true),
            (perms::WRITE, false, true),
            (perms::READ | perms::ADMIN, true, true),
            (perms::DELETE, false, false),
        ] {
            assert_eq!(permit(&list, wanted, &[local()]).is_ok(), stranger, "{wanted}");
            assert_eq!(permit(&list, wanted, &user).is_ok(), known, "{wanted}");
        }
        assert_eq!(permit(&list, perms::DELETE, &user), Err(ZkError::NoAuth));
    }

    /// "superDigest passes everything"; ids match within their scheme alone.
    #[test]
    fn super_passes_and_schemes_are_kept_apart() {
        let nobody = acl(&[(0, DIGEST, "x:y")]);
        assert_eq!(permit(&nobody, perms::ALL, &[Id::new(SUPER, "")]), Ok(()));
        let list =
            acl(&[(perms::ALL, IP, "127.0.0.1"), (perms::ALL, WORLD, "nobody"), (perms::ALL, SUPER, "x")]);
        for stranger in [Id::new(DIGEST, "127.0.0.1"), Id::new(WORLD, "nobody"), Id::new(IP, "127.0.0.2")] {
            assert_eq!(permit(&list, perms::READ, &[stranger]), Err(ZkError::NoAuth));
        }
        assert_eq!(permit(&list, perms::READ, &[local()]), Ok(()));
    }

    /// The recordings `acl_digest` and `auth_multiple_ids` of a 3.8.0 server.
    #[test]
    fn auth_stands_for_every_proven_identity() {
        let ids = [local(), digest("u:p"), Id::new(SUPER, ""), digest("v:p")];
        let expanded = expand(&Acl::creator(), &ids).unwrap();
        assert_eq!(
            expanded,
            Acl::new(["u:p", "v:p"].map(|who| AclEntry { perms: perms::ALL, id: digest(who) }))
        );
        assert_eq!(expand(&Acl::creator(), &ids[..1]), Err(ZkError::InvalidAcl));
    }

    /// "empty or null list, unknown scheme, bad id: InvalidACL; … duplicates dropped"
    #[test]
    fn list_is_refused_for_its_first_bad_entry() {
        for bad in [
            &[][..],
            &[(31, "nope", "x")],
            &[(31, WORLD, "everyone")],
            &[(31, DIGEST, "user")],
            &[(31, IP, "localhost")],
            &[(31, SUPER, "")],
            &[(31, WORLD, "anyone"), (1, AUTH, "")],
        ] {
            assert_eq!(expand(&acl(bad), &[local()]), Err(ZkError::InvalidAcl), "{bad:?}");
        }
        let twice = acl(&[(1, WORLD, "anyone"), (31, IP, "10.0.0.0/8"), (1, WORLD, "anyone")]);
        assert_eq!(expand(&twice, &[]), Ok(acl(&[(1, WORLD, "anyone"), (31, IP, "10.0.0.0/8")])));
    }

    /// The recording `acl_digest_masked` of a 3.8.0 server.
    #[test]
    fn digests_are_hidden_from_who_may_not_administrate() {
        let owner = digest("u:p");
        let list = Acl::new([AclEntry { perms: 31, id: owner.clone() }, entry(1, WORLD, "anyone")]);
        assert_eq!(shown(&list, &[local(), owner]), list);
        assert_eq!(shown(&list, &[local()]), acl(&[(31, DIGEST, "u:x"), (1, WORLD, "anyone")]));
    }
}

//! Digest — decides how a user with a password is written in a list. It never keeps a password
//! (`DigestAuthenticationProvider.java`).

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

/// The id of `user:password` in the scheme `digest`: the user, and the base64 of the SHA-1 of the whole.
pub fn digest_of(credential: &str) -> String {
    let (user, _) = credential.split_once(':').unwrap_or((credential, ""));
    format!("{user}:{}", BASE64_STANDARD.encode(Sha1::digest(credential)))
}

/// Whether an id has a user and a digest. Java's `split` forgets empty parts at the end.
pub(super) fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// The user of an id.
pub(super) fn user(id: &str) -> &str {
    id.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests in the recordings `acl_digest` and `auth_multiple_ids` of a 3.8.0 server.
    #[test]
    fn digest_is_base64_of_sha1_of_user_and_password() {
        assert_eq!(digest_of("u:p"), "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
        assert_eq!(digest_of("u1:p"), "u1:FfP80c+zcEPgU6zorph629PDPJ0=");
        assert_eq!(digest_of("super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }

    #[test]
    fn password_may_be_missing_or_have_colons() {
        assert_eq!(user(&digest_of("u")), "u");
        assert_eq!(user(&digest_of("u:p:q")), "u");
        assert_ne!(digest_of("u:p:q"), digest_of("u:p"));
    }

    #[test]
    fn valid_id_has_two_parts() {
        for (id, valid) in [
            ("u:h", true),
            (":h", true),
            ("u:h:", true),
            ("u", false),
            ("u:", false),
            ("u:h:x", false),
            (":", false),
        ] {
            assert_eq!(is_valid(id), valid, "{id}");
        }
    }
}

//! Access — decides how permissions and identities are written. It never decides who may do what.
//!
//! Names and numbers are those of `ZooDefs.java`.

use std::{
    ops::Deref,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};

/// Permission bits.
pub mod perms {
    /// getData, getChildren, exists (3.8.4 and later), check.
    pub const READ: i32 = 1;
    /// setData.
    pub const WRITE: i32 = 1 << 1;
    /// create, of a child.
    pub const CREATE: i32 = 1 << 2;
    /// delete, of a child.
    pub const DELETE: i32 = 1 << 3;
    /// setACL.
    pub const ADMIN: i32 = 1 << 4;
    /// All of them.
    pub const ALL: i32 = READ | WRITE | CREATE | DELETE | ADMIN;
}

/// Who somebody is in some scheme: `digest`, `ip`, `world`, `auth`, `super`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    /// The scheme.
    pub scheme: String,
    /// The name within it.
    pub id: String,
}

impl Id {
    /// An id of this scheme and name.
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AclEntry {
    /// Bits of [`perms`].
    pub perms: i32,
    /// Who.
    pub id: Id,
}

/// An access control list as a request or a znode holds it. A null list and an empty one are the same:
/// both are refused with InvalidACL. Lists are shared, never changed in place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl(Arc<[AclEntry]>);

static OPEN: LazyLock<Acl> = LazyLock::new(|| Acl::world(perms::ALL));

impl Acl {
    /// `OPEN_ACL_UNSAFE`: everybody may do everything.
    pub fn open() -> Self {
        OPEN.clone()
    }

    /// `READ_ACL_UNSAFE`: everybody may read.
    pub fn read_only() -> Self {
        Self::world(perms::READ)
    }

    /// `CREATOR_ALL_ACL`: whoever creates it may do everything.
    pub fn creator() -> Self {
        Self::new([AclEntry { perms: perms::ALL, id: Id::new("auth", "") }])
    }

    /// A list of these entries; the open list is always the one shared copy.
    pub fn new(entries: impl IntoIterator<Item = AclEntry>) -> Self {
        let list = Self(entries.into_iter().collect());
        if LazyLock::get(&OPEN).is_some_and(|open| *open == list) { Self::open() } else { list }
    }

    fn world(perms: i32) -> Self {
        Self([AclEntry { perms, id: Id::new("world", "anyone") }].into())
    }
}

impl Default for Acl {
    fn default() -> Self {
        Self::open()
    }
}

impl Deref for Acl {
    type Target = [AclEntry];

    fn deref(&self) -> &[AclEntry] {
        &self.0
    }
}

impl Serialize for Acl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The open list, which almost every znode has, takes one byte.
        (*self != Self::open()).then_some(&self.0[..]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Acl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Option::<Vec<AclEntry>>::deserialize(deserializer)?;
        Ok(entries.map_or_else(Self::open, Self::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive_the_disk_and_the_open_one_is_a_byte() {
        for acl in [Acl::open(), Acl::read_only(), Acl::creator(), Acl::new([])] {
            let bytes = postcard::to_stdvec(&acl).unwrap();
            assert_eq!(postcard::from_bytes::<Acl>(&bytes).unwrap(), acl);
        }
        assert_eq!(postcard::to_stdvec(&Acl::open()).unwrap().len(), 1);
    }

    #[test]
    fn open_lists_are_one_copy() {
        let open = Acl::new([AclEntry { perms: perms::ALL, id: Id::new("world", "anyone") }]);
        assert!(Arc::ptr_eq(&open.0, &Acl::open().0));
    }
}

//! Load — decides what of a tree a snapshot has, and how the rest is found again. It never repairs a tree
//! whose nodes do not hang together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Tree, Znode, index::Index, path, znode::shared};
use crate::zookeeper::wire::Acl;

impl Serialize for Tree {
    /// The nodes with their paths, a parent before its children.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.nodes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nodes = BTreeMap::deserialize(deserializer)?;
        let mut tree = Self { nodes, index: Index::default() };
        tree.hang_together().map_err(|orphan| D::Error::custom(format!("{orphan} has no parent")))?;
        tree.share_equal_parts();
        tree.recount_quotas();
        Ok(tree)
    }
}

impl Tree {
    /// Counts children, and fills the index.
    fn hang_together(&mut self) -> Result<(), Arc<str>> {
        let paths: Vec<Arc<str>> = self.nodes.keys().cloned().collect();
        for path in paths {
            self.index.insert(&path, self.nodes[&path].lifetime);
            let Some((parent, _)) = path::split(&path) else { continue };
            let parent = self.nodes.get_mut(parent).ok_or_else(|| path.clone())?;
            parent.children += 1;
        }
        Ok(())
    }

    /// Lists that are equal are held once, and so is the empty payload.
    fn share_equal_parts(&mut self) {
        let mut lists = BTreeSet::<Acl>::new();
        for node in self.nodes.values_mut() {
            let Znode { data, acl, .. } = &mut **node;
            *data = shared(data.take());
            match lists.get(acl) {
                Some(known) => acl.clone_from(known),
                None => drop(lists.insert(acl.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_without_a_parent_is_no_tree() {
        let mut tree = Tree::default();
        tree.nodes.insert("/a/b".into(), Box::new(Znode::initial(0)));
        let bytes = postcard::to_stdvec(&tree).unwrap();
        assert!(postcard::from_bytes::<Tree>(&bytes).is_err());
    }

    #[test]
    fn children_are_counted_again() {
        let mut tree = Tree::default();
        let bytes = postcard::to_stdvec(&tree).unwrap();
        tree.nodes.get_mut("/").unwrap().children = 7;
        assert_eq!(postcard::to_stdvec(&tree).unwrap(), bytes, "no snapshot has the number of children");
        assert_eq!(postcard::from_bytes::<Tree>(&bytes).unwrap(), Tree::default());
    }
}

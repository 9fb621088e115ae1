//! Children — decides which nodes are below a node, by their paths alone. It never changes a tree.

use std::{
    collections::btree_map::Range,
    ops::Bound::{Included, Unbounded},
    sync::Arc,
};

use super::{Tree, Znode, path};

/// The names of a node's children, in order.
#[derive(Debug)]
pub(super) struct Children<'a> {
    tree: &'a Tree,
    /// What the paths of all descendants begin with.
    prefix: String,
    rest: Range<'a, Arc<str>, Box<Znode>>,
}

impl Tree {
    pub(super) fn children(&self, path: &str) -> Children<'_> {
        let prefix = prefix_of(path);
        let rest = self.from(&prefix);
        Children { tree: self, prefix, rest }
    }

    /// Paths of all nodes below this one, in order.
    pub(super) fn descendants(&self, path: &str) -> impl Iterator<Item = &Arc<str>> {
        let prefix = prefix_of(path);
        let rest = self.from(&prefix).map(|(path, _)| path);
        rest.filter(|path| ***path != *path::ROOT).take_while(move |path| path.starts_with(&prefix))
    }

    fn from(&self, start: &str) -> Range<'_, Arc<str>, Box<Znode>> {
        self.nodes.range::<str, _>((Included(start), Unbounded))
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = &'a str;

    /// Between a child and the next there may be the child's descendants, and before them siblings with
    /// characters that sort before `/`. Descendants are skipped in one go.
    fn next(&mut self) -> Option<&'a str> {
        loop {
            let (path, _) = self.rest.next()?;
            let name = path.strip_prefix(self.prefix.as_str())?;
            match name.split_once('/') {
                None if name.is_empty() => {}
                None => return Some(name),
                Some((child, _)) => self.rest = self.tree.from(&format!("{}{child}0", self.prefix)),
            }
        }
    }
}

fn prefix_of(path: &str) -> String {
    let base = if path == path::ROOT { "" } else { path };
    format!("{base}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        tree.nodes.clear();
        for path in paths.iter().chain(&["/"]) {
            tree.nodes.insert((*path).into(), Box::new(Znode::initial(0)));
        }
        tree
    }

    fn children<'a>(tree: &'a Tree, path: &str) -> Vec<&'a str> {
        tree.children(path).collect()
    }

    /// `-` sorts before `/`, `0` right after it.
    #[test]
    fn siblings_are_told_from_descendants_whatever_they_are_called() {
        let tree =
            tree(&["/p", "/p/a", "/p/a-b", "/p/a/x", "/p/a/x/y", "/p/a0", "/p/a0/z", "/p/b", "/p-", "/p0"]);
        assert_eq!(children(&tree, "/"), ["p", "p-", "p0"]);
        assert_eq!(children(&tree, ""), ["p", "p-", "p0"]);
        assert_eq!(children(&tree, "/p"), ["a", "a-b", "a0", "b"]);
        assert_eq!(children(&tree, "/p/a"), ["x"]);
        assert_eq!(children(&tree, "/p/b"), [""; 0]);
        assert_eq!(children(&tree, "/nope"), [""; 0]);
    }

    #[test]
    fn descendants_are_all_below_and_not_the_node_itself() {
        let tree = tree(&["/p", "/p/a", "/p/a-b", "/p/a/x", "/p-", "/q"]);
        let below = |path| tree.descendants(path).map(|path| &**path).collect::<Vec<_>>();
        assert_eq!(below("/p"), ["/p/a", "/p/a-b", "/p/a/x"]);
        assert_eq!(below("/q"), [""; 0]);
        assert_eq!(below("/"), ["/p", "/p-", "/p/a", "/p/a-b", "/p/a/x", "/q"]);
    }
}

//! Paths — decides which names a znode may have, and how a name splits. It never looks at a tree.

use crate::zookeeper::wire::ZkError;

/// The root.
pub const ROOT: &str = "/";

/// Nodes that exist from the start and cannot be deleted (`DataTree.java`, `isSpecialPath`).
pub const RESERVED: [&str; 4] = [ROOT, "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// Accepts what `PathUtils.java` accepts.
///
/// # Errors
///
/// BadArguments unless it starts with `/`, has no empty, `.` or `..` component, does not end in `/` (the
/// root aside), and every character is allowed.
pub fn validate(path: &str) -> Result<(), ZkError> {
    let inner = path.strip_prefix('/').ok_or(ZkError::BadArguments)?;
    let components_ok = || inner.split('/').all(|name| !matches!(name, "" | "." | ".."));
    if inner.is_empty() || (components_ok() && inner.chars().all(is_allowed)) {
        Ok(())
    } else {
        Err(ZkError::BadArguments)
    }
}

/// ZooKeeper judges UTF-16 units, so that characters beyond U+FFFF fall with the surrogates they are made
/// of.
fn is_allowed(character: char) -> bool {
    !matches!(character, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The parent as far as it can be told before the name is checked: everything before the last `/`, which for
/// the root is nothing.
///
/// # Errors
///
/// BadArguments if there is no `/`, or a NUL anywhere.
pub fn parent_of_unchecked(path: &str) -> Result<&str, ZkError> {
    let (parent, _) = path.rsplit_once('/').ok_or(ZkError::BadArguments)?;
    if path.contains('\0') { Err(ZkError::BadArguments) } else { Ok(parent) }
}

/// The root has two names, `/` and the empty one; everything else has one.
pub fn canonical(path: &str) -> &str {
    if path.is_empty() { ROOT } else { path }
}

/// Parent and last component of a checked path; none for the root.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then(|| (canonical(parent), name))
}

/// The paths above one, nearest first, the root last.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(split(path), |(parent, _)| split(parent)).map(|(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_path_is_accepted() {
        for path in ["/", "/a", "/a/b.c", "/.a/..b/c..", "/\u{a0}", "/\u{f900}", "/\u{feff}", "/\u{d7ff}"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn malformed_path_is_bad_arguments() {
        let bad = ["", "a", "a/b", "//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/."];
        let chars =
            ["/\0", "/\u{1}", "/\u{1f}", "/\u{7f}", "/\u{9f}", "/\u{e000}", "/\u{f8ff}", "/\u{fff0}", "/😀"];
        for path in bad.into_iter().chain(chars) {
            assert_eq!(validate(path), Err(ZkError::BadArguments), "{path:?}");
        }
    }

    #[test]
    fn parent_is_all_before_the_last_slash() {
        assert_eq!(parent_of_unchecked("/"), Ok(""));
        assert_eq!(parent_of_unchecked("/a"), Ok(""));
        assert_eq!(parent_of_unchecked("/a//b"), Ok("/a/"));
        assert_eq!(parent_of_unchecked("a"), Err(ZkError::BadArguments));
        assert_eq!(parent_of_unchecked("/a/\0"), Err(ZkError::BadArguments));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/"), None);
    }

    #[test]
    fn ancestors_go_up_to_the_root() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        for none in ["/", "", "bad"] {
            assert_eq!(ancestors(none).count(), 0, "{none}");
        }
    }
}

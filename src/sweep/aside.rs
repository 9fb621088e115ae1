//! Aside — decides where results go that are in the way of other ones. It never decides whether they are, and never
//! removes or replaces any.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::manifest::MANIFEST;

/// What results are, in the order in which they go: the manifest last, so that what a kill leaves behind is still known
/// for a sweep's.
const RESULTS: [&str; 6] = [FAILURES, "junit.xml", "grid.svg", "timing.ndjson", "runs.ndjson", MANIFEST];

/// The folder of what is kept of failing runs.
const FAILURES: &str = "failures";

/// Moves the results in a directory to the first of `DIR.1`, `DIR.2`, … that does not exist; where they are now, none
/// if there were none. Other files stay.
///
/// # Errors
///
/// If they cannot be moved.
pub fn aside(dir: &Path) -> io::Result<Option<PathBuf>> {
    let is_there = |name: &&str| {
        let path = dir.join(name);
        match *name {
            FAILURES => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
            // A sweep that was killed as it began has written no line.
            _ => fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0),
        }
    };
    let results: Vec<&str> = RESULTS.into_iter().filter(is_there).collect();
    if results.is_empty() {
        return Ok(None);
    }
    let place = new_place(dir)?;
    let cannot = |error: io::Error| {
        let why = format!("what is there cannot be moved to {}: {error}", place.display());
        io::Error::new(error.kind(), why)
    };
    for name in results {
        fs::rename(dir.join(name), place.join(name)).map_err(cannot)?;
    }
    Ok(Some(place))
}

/// Makes the first directory of these names that is not there.
fn new_place(dir: &Path) -> io::Result<PathBuf> {
    // `.` and `..` have no name that a number could follow.
    let dir = if dir.file_name().is_some() { dir.to_owned() } else { fs::canonicalize(dir)? };
    for number in 1.. {
        let place = numbered(&dir, &format!(".{number}"), "");
        match fs::create_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| place),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Where a file of this content can be written without replacing another: at `path`, else at `path-2`, `path-3`, …
/// before the dot.
pub fn free(path: &Path, content: &[u8]) -> PathBuf {
    let ending = path.extension().map_or(OsString::new(), |ending| {
        let mut dotted = OsString::from(".");
        dotted.push(ending);
        dotted
    });
    let others = (2..).map(|number: u64| {
        numbered(&path.with_extension(""), &format!("-{number}"), &ending.to_string_lossy())
    });
    let is_free = |place: &PathBuf| {
        fs::symlink_metadata(place).is_err() || fs::read(place).is_ok_and(|old| old == content)
    };
    [path.to_owned()].into_iter().chain(others).find(is_free).unwrap_or_else(|| path.to_owned())
}

fn numbered(path: &Path, number: &str, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(number);
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_to_the_first_free_number_and_other_files_stay() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("out");
        fs::create_dir_all(dir.join("failures")).unwrap();
        fs::write(dir.join("notes.txt"), "mine").unwrap();
        assert_eq!(aside(&dir).unwrap(), None, "an empty folder of failures is no result");
        fs::write(dir.join("runs.ndjson"), "").unwrap();
        assert_eq!(aside(&dir).unwrap(), None, "no line either");
        fs::create_dir(root.path().join("out.1")).unwrap();
        fs::write(dir.join("runs.ndjson"), "a line").unwrap();
        let place = aside(&dir).unwrap().unwrap();
        assert_eq!(place, root.path().join("out.2"));
        assert_eq!(fs::read(place.join("runs.ndjson")).unwrap(), b"a line");
        assert!(dir.join("notes.txt").is_file() && !dir.join("runs.ndjson").exists());
        assert_eq!(aside(&dir).unwrap(), None);
    }

    #[test]
    fn file_of_other_content_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("zab-1.toml");
        assert_eq!(free(&path, b"one"), path);
        fs::write(&path, "one").unwrap();
        assert_eq!(free(&path, b"one"), path);
        let second = root.path().join("zab-1-2.toml");
        assert_eq!(free(&path, b"two"), second);
        fs::write(&second, "two").unwrap();
        assert_eq!((free(&path, b"two"), free(&path, b"three")), (second, root.path().join("zab-1-3.toml")));
    }
}

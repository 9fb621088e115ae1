//! Output — decides how results reach files and the terminal. It never decides what they are.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use super::exit::Failure;
use crate::sweep::store::beside;

/// Prints to stdout, in colour if that is a terminal. A reader that has gone away is no failure.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Unfinished(format!("error: stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says where results are now that were in the way.
pub(super) fn told_of(moved: Option<&Path>) {
    if let Some(place) = moved {
        anstream::eprintln!("what was there is of other runs: it is in {} now", place.display());
    }
}

/// Refuses outputs that would replace the file which the run comes from, or each other.
///
/// # Errors
///
/// Names the option and the file.
pub(super) fn apart(source: &Path, outputs: &[(&str, Option<&Path>)]) -> Result<(), Failure> {
    let mut taken = vec![("", fs::canonicalize(source).ok())];
    for (option, path) in outputs.iter().filter_map(|(option, path)| Some((*option, (*path)?))) {
        let place = Some(settled(path)).filter(|_| !fs::metadata(path).is_ok_and(|found| !found.is_file()));
        match taken.iter().find(|(_, other)| place.is_some() && *other == place) {
            Some(("", _)) => {
                let path = path.display();
                return Err(Failure::usage(format!(
                    "error: {option} {path} would replace what is run: name another file"
                )));
            }
            Some((other, _)) => {
                let path = path.display();
                return Err(Failure::usage(format!("error: {other} and {option} both write to {path}")));
            }
            None => taken.push((option, place)),
        }
    }
    Ok(())
}

/// The one path of a file, whether it is there yet or not.
fn settled(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let joined = || Some(fs::canonicalize(dir).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(joined).unwrap_or_else(|| path.to_owned())
}

/// A file to be written, known to be writable before the work begins. It appears whole or not at all.
#[derive(Debug)]
pub(super) struct Outlet {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Moved to its place when it is complete.
    Beside(tempfile::NamedTempFile),
    /// A device or pipe, which nothing can be moved to.
    Direct(fs::File),
}

impl Outlet {
    /// Opens a file for writing.
    ///
    /// # Errors
    ///
    /// Says which file cannot be written, and why.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let cannot =
            |error: io::Error| Failure::unwritable(format!("error: cannot write {}", path.display()), &error);
        let target = target(path).map_err(cannot)?;
        Ok(Self { path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), target })
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// If that fails after all.
    pub(super) fn fill(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let path = self.path.clone();
        self.filled(write)
            .map_err(|error| Failure::Unfinished(format!("error: cannot write {}: {error}", path.display())))
    }

    fn filled(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self.target {
            Target::Direct(file) => buffered(file, write),
            Target::Beside(mut file) => {
                buffered(&mut file, write)?;
                file.persist(&self.path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

fn target(path: &Path) -> io::Result<Target> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")),
        Ok(found) if !found.is_file() => fs::OpenOptions::new().write(true).open(path).map(Target::Direct),
        Ok(_) => {
            fs::OpenOptions::new().append(true).open(path)?;
            beside(&fs::canonicalize(path)?).map(Target::Beside)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => beside(path).map(Target::Beside),
        Err(error) => Err(error),
    }
}

fn buffered(file: impl Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(file);
    write(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let outlet = Outlet::open(&path).unwrap();
        assert!(!path.exists());
        outlet.fill(|out| out.write_all(b"all")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"all");
    }

    #[test]
    fn failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        fs::write(&path, "old").unwrap();
        let result = Outlet::open(&path).unwrap().fill(|out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(result.unwrap_err().message().contains("disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn unwritable_place_is_named_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("missing/trace"), dir.path().to_owned()] {
            let failure = Outlet::open(&path).unwrap_err();
            assert!(failure.message().contains(&*path.to_string_lossy()), "{}", failure.message());
        }
    }

    #[test]
    fn device_is_written_to_not_replaced() {
        Outlet::open(Path::new("/dev/null")).unwrap().fill(|out| out.write_all(b"all")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}

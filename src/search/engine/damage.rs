//! Damage — decides which file of an index is not what was written. It never repairs one.

use std::path::Path;

use tantivy::Directory as _;

use super::{Engine, Failure, commit::Commit, commit::META, directory::Directory};
use crate::core::Files;

impl Engine {
    /// Checks every file of the durable commit against its checksum: a peer is sent none that is damaged.
    ///
    /// # Errors
    ///
    /// If one is.
    pub fn check_durable(&self) -> Result<(), Failure> {
        self.durable.as_ref().map_or(Ok(()), |commit| self.verify(commit))
    }

    /// The first file of the commit below `prefix` that is missing or damaged, as the disk calls it; none if all
    /// are sound, or there is no commit.
    pub fn damaged_file(prefix: &str, disk: &Files) -> Option<String> {
        let directory = Directory::open(prefix, disk);
        let meta = directory.read(META)?;
        let damaged = match Commit::described(meta) {
            Err(_) => META.to_owned(),
            Ok(commit) => commit.files.into_iter().find(|file| !is_sound(&directory, file))?,
        };
        Some(format!("{prefix}{damaged}"))
    }
}

// The checksum stands in a footer of tantivy's own; a file whose footer cannot be read is as bad.
fn is_sound(directory: &Directory, file: &str) -> bool {
    let index = tantivy::directory::ManagedDirectory::wrap(Box::new(directory.clone()));
    index.is_ok_and(|index| {
        index.exists(Path::new(file)).unwrap_or(false)
            && index.validate_checksum(Path::new(file)).unwrap_or(false)
    })
}

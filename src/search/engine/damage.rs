//! Damage — decides which file of an index is not what was written. It never repairs one.

use std::{path::Path, sync::Arc};

use tantivy::Directory as _;

use super::{Engine, Failure, commit::Commit, commit::META, directory::Directory};
use crate::core::{FileName, Files};

impl Engine {
    /// Reading a file gives something else than was written: nothing is read from it before its checksum is right.
    pub fn reread(&mut self, file: &FileName, bytes: &Arc<[u8]>) {
        self.suspects.extend(self.directory.reread(file, bytes));
    }

    /// Checks the files that were read again.
    ///
    /// # Errors
    ///
    /// If one is damaged.
    pub fn check_reread(&mut self) -> Result<(), Failure> {
        match self.damaged_by_rereading() {
            Some(file) => Err(Failure(format!("{file} is damaged"))),
            None => {
                self.suspects.clear();
                Ok(())
            }
        }
    }

    /// The first file that was read again, is in use and is damaged, as the disk calls it.
    pub fn damaged_by_rereading(&self) -> Option<String> {
        let file = self.suspects.iter().find(|file| self.is_used(file) && !self.is_whole(file))?;
        Some(self.directory.disk_name(file).to_string())
    }

    fn is_used(&self, file: &str) -> bool {
        let mut commits = self.durable.iter().chain(&self.publishing);
        file == META
            || commits.any(|commit| commit.files.iter().any(|own| own == file))
            || self.is_of_segment(file)
    }

    fn is_whole(&self, file: &str) -> bool {
        if file == META { self.meta_is_sound() } else { is_sound(&self.directory, file) }
    }

    fn is_of_segment(&self, file: &str) -> bool {
        self.directory.read(file).is_some()
            && self.segments.values().any(|segment| segment.files().iter().any(|own| own == file))
    }

    fn meta_is_sound(&self) -> bool {
        self.directory.read(META).is_some_and(|meta| Commit::described(meta).is_ok())
    }

    /// Checks every file of the durable commit against its checksum: a peer is sent none that is damaged.
    ///
    /// # Errors
    ///
    /// If one is.
    pub fn check_durable(&mut self) -> Result<(), Failure> {
        self.check_reread()?;
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

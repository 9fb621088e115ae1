//! Directory — decides how tantivy's files become changes to a node's disk. It never touches a disk itself.
//!
//! Tantivy asks for synchronous files; a core may only say what it wants done. So the files are mirrored in
//! memory, and each change is also put down as a [`DiskOp`] for the copy to hand on. A file of a segment is
//! written once, as a whole. What tantivy writes atomically (`meta.json`, `.managed.json`) never reaches the
//! disk by this way: which segments make up a durable commit is for the engine to say ([`Directory::replace`]).

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tantivy::directory::{
    AntiCallToken, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite, WatchCallback, WatchHandle,
    WritePtr,
    error::{DeleteError, LockError, OpenReadError, OpenWriteError},
};

use crate::core::{DiskOp, FileName, Files};

/// The files of one index under a prefix of a node's disk; clones share them.
#[derive(Clone)]
pub(super) struct Directory(Arc<Mutex<Mirror>>);

struct Mirror {
    prefix: Arc<str>,
    files: BTreeMap<String, Arc<[u8]>>,
    atomic: BTreeMap<String, Vec<u8>>,
    journal: Vec<DiskOp>,
}

impl Directory {
    /// An empty directory.
    pub(super) fn new(prefix: &str) -> Self {
        let mirror = Mirror {
            prefix: prefix.into(),
            files: BTreeMap::new(),
            atomic: BTreeMap::new(),
            journal: Vec::new(),
        };
        Self(Arc::new(Mutex::new(mirror)))
    }

    /// The directory that a disk holds.
    pub(super) fn open(prefix: &str, disk: &Files) -> Self {
        let directory = Self::new(prefix);
        let below = disk.iter().filter_map(|(name, bytes)| {
            let name = name.strip_prefix(prefix)?;
            Some((name.to_owned(), bytes.clone()))
        });
        directory.mirror().files.extend(below);
        directory
    }

    // A poisoned lock means that this thread panicked while it held it: the run is over anyway.
    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name on the node's disk of a file of this directory.
    pub(super) fn disk_name(&self, file: &str) -> FileName {
        format!("{}{file}", self.mirror().prefix).into()
    }

    /// What a file holds.
    pub(super) fn read(&self, file: &str) -> Option<Arc<[u8]>> {
        self.mirror().files.get(file).cloned()
    }

    /// Every file, by name.
    pub(super) fn files(&self) -> BTreeMap<String, Arc<[u8]>> {
        self.mirror().files.clone()
    }

    /// Writes a new file as a whole.
    pub(super) fn write(&self, file: &str, bytes: Arc<[u8]>) {
        let name = self.disk_name(file);
        let mut mirror = self.mirror();
        mirror.journal.push(DiskOp::Append { file: name, bytes: bytes.clone() });
        mirror.files.insert(file.to_owned(), bytes);
    }

    /// Writes a file anew, old or new as a whole after a crash.
    pub(super) fn replace(&self, file: &str, bytes: Arc<[u8]>) {
        let name = self.disk_name(file);
        let mut mirror = self.mirror();
        mirror.journal.push(DiskOp::Replace { file: name, bytes: bytes.clone() });
        mirror.files.insert(file.to_owned(), bytes);
    }

    /// The disk holds something else than was written. Gives the file's name here, if it is one of these.
    pub(super) fn reread(&self, file: &FileName, bytes: &Arc<[u8]>) -> Option<String> {
        let mut mirror = self.mirror();
        let name = file.strip_prefix(&*mirror.prefix)?.to_owned();
        let held = mirror.files.get_mut(&name)?;
        *held = bytes.clone();
        Some(name)
    }

    /// Removes a file, if it exists.
    pub(super) fn remove(&self, file: &str) {
        let name = self.disk_name(file);
        let mut mirror = self.mirror();
        if mirror.files.remove(file).is_some() {
            mirror.journal.push(DiskOp::Remove { file: name });
        }
    }

    /// The changes since the last call, in order.
    pub(super) fn drain(&self) -> Vec<DiskOp> {
        std::mem::take(&mut self.mirror().journal)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({})", self.mirror().prefix)
    }
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn missing(path: &Path) -> OpenReadError {
    OpenReadError::FileDoesNotExist(PathBuf::from(path))
}

impl tantivy::Directory for Directory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let bytes = self.read(&name_of(path)).ok_or_else(|| missing(path))?;
        Ok(Arc::new(OwnedBytes::new(bytes)))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.remove(&name_of(path));
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.mirror().files.contains_key(&name_of(path)))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let name = name_of(path);
        if self.mirror().files.contains_key(&name) {
            return Err(OpenWriteError::FileAlreadyExists(PathBuf::from(path)));
        }
        let writer = FileWriter { directory: self.clone(), name, bytes: Vec::new() };
        Ok(io::BufWriter::new(Box::new(writer)))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.mirror().atomic.get(&name_of(path)).cloned().ok_or_else(|| missing(path))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        // The list of managed files is for tantivy's own garbage collection, which is not used.
        if path != Path::new(".managed.json") {
            self.mirror().atomic.insert(name_of(path), data.to_vec());
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

struct FileWriter {
    directory: Directory,
    name: String,
    bytes: Vec<u8>,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for FileWriter {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.directory.write(&self.name, std::mem::take(&mut self.bytes).into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tantivy::Directory as _;

    use super::*;

    #[test]
    fn finished_file_is_read_back_and_put_down_once() {
        let directory = Directory::new("p/");
        let mut writer = directory.open_write(Path::new("a.idx")).unwrap();
        writer.write_all(b"one").unwrap();
        assert!(directory.drain().is_empty(), "an unfinished file is not there yet");
        writer.terminate().unwrap();
        assert_eq!(directory.read("a.idx").as_deref(), Some(&b"one"[..]));
        let wanted = DiskOp::Append { file: "p/a.idx".into(), bytes: (*b"one").into() };
        assert_eq!(directory.drain(), vec![wanted]);
    }

    #[test]
    fn files_are_written_once() {
        let directory = Directory::new("");
        directory.write("a", (*b"x").into());
        assert!(matches!(directory.open_write(Path::new("a")), Err(OpenWriteError::FileAlreadyExists(_))));
    }

    #[test]
    fn atomic_writes_of_tantivy_never_reach_the_disk() {
        let directory = Directory::new("");
        directory.atomic_write(Path::new("meta.json"), b"{}").unwrap();
        directory.atomic_write(Path::new(".managed.json"), b"[]").unwrap();
        assert!(directory.drain().is_empty());
        assert_eq!(directory.atomic_read(Path::new("meta.json")).unwrap(), b"{}");
        assert!(directory.atomic_read(Path::new(".managed.json")).is_err());
    }

    #[test]
    fn only_files_below_the_prefix_are_opened() {
        let disk: Files = [("p/a".into(), (*b"1").into()), ("q/b".into(), (*b"2").into())].into();
        assert_eq!(Directory::open("p/", &disk).files().into_keys().collect::<Vec<_>>(), vec!["a"]);
    }
}

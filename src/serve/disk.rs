//! Disk — decides where a server's files are kept, and when they are safe. It never decides what is in them.
//!
//! In memory, everything is safe at once, and gone with the process. In a folder, files are real:
//! appends and truncations are safe after `fdatasync`, replacements by a temporary file, `fsync`, a rename
//! and an `fsync` of the folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::core::{DiskOp, FileName, Files};

/// What a file's new content is called until it is whole.
const UNFINISHED: &str = "unfinished~";

/// One server's files.
#[derive(Debug)]
pub(super) enum Disk {
    /// As long as the process lives.
    Memory(BTreeMap<FileName, Vec<u8>>),
    /// On the machine's disk.
    Folder(Folder),
}

impl Disk {
    /// The files as they are.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub(super) fn files(&self) -> io::Result<Files> {
        match self {
            Self::Memory(files) => {
                Ok(files.iter().map(|(name, bytes)| (name.clone(), Arc::from(&bytes[..]))).collect())
            }
            Self::Folder(folder) => folder.files(),
        }
    }

    /// Carries a change out.
    ///
    /// # Errors
    ///
    /// If the disk cannot.
    pub(super) fn change(&mut self, op: DiskOp) -> io::Result<()> {
        match self {
            Self::Memory(files) => {
                change_in_memory(files, op);
                Ok(())
            }
            Self::Folder(folder) => folder.change(op),
        }
    }

    /// How long all files are, in bytes; 0 if nobody can tell.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Memory(files) => files.values().map(|bytes| bytes.len() as u64).sum(),
            Self::Folder(folder) => {
                let entries = fs::read_dir(&folder.path).into_iter().flatten().flatten();
                entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
            }
        }
    }

    /// Where the files are; nowhere if in memory.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::Folder(folder) => Some(&folder.path),
        }
    }

    /// Whether changes need a [`sync`](Self::sync) to be safe.
    pub(super) fn needs_sync(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Makes all changes to a file safe.
    ///
    /// # Errors
    ///
    /// If the disk cannot; then nobody knows what of it is safe.
    pub(super) fn sync(&mut self, file: &FileName) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Folder(folder) => folder.sync(file),
        }
    }
}

fn change_in_memory(files: &mut BTreeMap<FileName, Vec<u8>>, op: DiskOp) {
    match op {
        DiskOp::Append { file, bytes } => files.entry(file).or_default().extend_from_slice(&bytes),
        DiskOp::Truncate { file, len } => files.entry(file).or_default().truncate(len as usize),
        DiskOp::Replace { file, bytes } => drop(files.insert(file, bytes.to_vec())),
        DiskOp::Remove { file } => drop(files.remove(&file)),
    }
}

/// A folder of the machine's disk.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    open: BTreeMap<FileName, File>,
    /// Files with changes that are not safe.
    unsafe_files: BTreeSet<FileName>,
    /// Whether names have changed since the folder was synced.
    has_new_names: bool,
}

impl Folder {
    /// Makes sure that the folder is there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self { path, open: BTreeMap::new(), unsafe_files: BTreeSet::new(), has_new_names: true })
    }

    /// What a crash left unfinished is no file.
    fn files(&self) -> io::Result<Files> {
        let mut files = Files::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && !name.ends_with(UNFINISHED) {
                files.insert(name.into(), fs::read(entry.path())?.into());
            }
        }
        Ok(files)
    }

    fn place(&self, file: &FileName) -> PathBuf {
        assert!(Path::new(&**file).components().count() == 1, "a server's files lie side by side");
        self.path.join(&**file)
    }

    fn change(&mut self, op: DiskOp) -> io::Result<()> {
        match op {
            DiskOp::Append { file, bytes } => {
                self.opened(&file)?.write_all(&bytes)?;
                self.unsafe_files.insert(file);
            }
            DiskOp::Truncate { file, len } => {
                self.opened(&file)?.set_len(len)?;
                self.unsafe_files.insert(file);
            }
            DiskOp::Replace { file, bytes } => self.replace(&file, &bytes)?,
            DiskOp::Remove { file } => {
                self.forget(&file);
                match fs::remove_file(self.place(&file)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => self.has_new_names = true,
                }
            }
        }
        Ok(())
    }

    fn opened(&mut self, file: &FileName) -> io::Result<&mut File> {
        if !self.open.contains_key(file) {
            let place = self.place(file);
            self.has_new_names |= !place.exists();
            let opened = OpenOptions::new().append(true).create(true).open(place)?;
            self.open.insert(file.clone(), opened);
        }
        Ok(self.open.get_mut(file).expect("it is open"))
    }

    fn replace(&mut self, file: &FileName, bytes: &[u8]) -> io::Result<()> {
        self.forget(file);
        let place = self.place(file);
        let beside = self.path.join(format!("{file}.{UNFINISHED}"));
        let mut unfinished = File::create(&beside)?;
        unfinished.write_all(bytes)?;
        unfinished.sync_all()?;
        fs::rename(beside, place)?;
        self.has_new_names = true;
        Ok(())
    }

    fn forget(&mut self, file: &FileName) {
        self.open.remove(file);
        self.unsafe_files.remove(file);
    }

    fn sync(&mut self, file: &FileName) -> io::Result<()> {
        if self.unsafe_files.remove(file) {
            self.opened(file)?.sync_data()?;
        }
        if std::mem::take(&mut self.has_new_names) {
            File::open(&self.path)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<DiskOp> {
        let name = |name: &str| FileName::from(name);
        let append = |file, bytes: &[u8]| DiskOp::Append { file: name(file), bytes: bytes.into() };
        vec![
            append("log.1", b"abc"),
            append("log.2", b"x"),
            DiskOp::Truncate { file: name("log.1"), len: 2 },
            append("log.1", b"de"),
            DiskOp::Replace { file: name("epoch"), bytes: b"1".to_vec().into() },
            DiskOp::Replace { file: name("epoch"), bytes: b"2".to_vec().into() },
            DiskOp::Remove { file: name("log.2") },
            DiskOp::Remove { file: name("log.3") },
        ]
    }

    #[test]
    fn folder_holds_what_memory_would() {
        let place = tempfile::tempdir().unwrap();
        let mut memory = Disk::Memory(BTreeMap::new());
        let mut folder = Disk::Folder(Folder::open(place.path().join("zk-1")).unwrap());
        for change in changes() {
            memory.change(change.clone()).unwrap();
            folder.change(change).unwrap();
        }
        folder.sync(&FileName::from("log.1")).unwrap();
        assert_eq!(folder.files().unwrap(), memory.files().unwrap());
        let again = Disk::Folder(Folder::open(place.path().join("zk-1")).unwrap());
        assert_eq!(again.files().unwrap(), memory.files().unwrap());
    }

    #[test]
    fn unfinished_replacement_is_no_file() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(format!("epoch.{UNFINISHED}")), "hal").unwrap();
        let folder = Disk::Folder(Folder::open(place.path().to_owned()).unwrap());
        assert!(folder.files().unwrap().is_empty());
    }
}

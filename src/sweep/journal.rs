//! Journals — decides how lines are added to a file so that a kill at any moment costs at most the line that was being
//! written. It never knows what is in one.

use std::{
    fs, io,
    io::{Read, Seek, Write},
    path::Path,
};

/// A file of lines that only grows.
#[derive(Debug)]
pub(crate) struct Journal {
    file: fs::File,
    len: u64,
}

impl Journal {
    /// An empty file, whatever was there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: fs::File::create(path)?, len: 0 })
    }

    /// Goes on with a file, and gives back the lines that it has. A last line without its end was being written
    /// when the writer was killed: it is cut off.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written.
    pub(super) fn resume(path: &Path) -> io::Result<(Self, Vec<String>)> {
        let mut file = fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (lines, len) = whole_lines(&bytes);
        file.set_len(len)?;
        file.seek(io::SeekFrom::End(0))?;
        Ok((Self { file, len }, lines))
    }

    /// Adds a line in one write. One that does not fit the disk is taken back.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn add(&mut self, line: &str) -> io::Result<()> {
        let bytes = format!("{line}\n");
        if let Err(error) = self.file.write_all(bytes.as_bytes()) {
            self.file.set_len(self.len)?;
            self.file.seek(io::SeekFrom::Start(self.len))?;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// The lines that have an end, and how many bytes they take.
pub(super) fn whole_lines(bytes: &[u8]) -> (Vec<String>, u64) {
    let len = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(&bytes[..len]);
    (text.lines().map(str::to_owned).collect(), len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_last_line_is_cut_off_and_the_journal_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let mut journal = Journal::create(&path).unwrap();
        journal.add("one").unwrap();
        drop(journal);
        fs::write(&path, "one\ntwo\nthr").unwrap();
        let (mut journal, lines) = Journal::resume(&path).unwrap();
        assert_eq!(lines, ["one", "two"]);
        journal.add("three").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn journal_that_is_missing_begins_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::resume(&dir.path().join("lines")).unwrap().1.is_empty());
        assert!(Journal::resume(&dir.path().join("no/lines")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn line_that_does_not_fit_the_disk_is_an_error() {
        let (file, len) = (fs::File::options().write(true).open("/dev/full").unwrap(), 0);
        assert!(Journal { file, len }.add("one").is_err());
    }
}

//! Stores — decides which files a sweep leaves behind. It never decides what is in a record.
//!
//! While a sweep is under way, each run that ends adds a line to `runs.ndjson` and `timing.ndjson`, after what is
//! kept of a failure has been written: whatever kills the sweep, what it had is readable and can be resumed. At
//! its end the records are sorted. Every other file is written beside its place and moved there whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Done, Ending, aside::aside, canary::Sighting, failures, journal::Journal, manifest::Manifest,
    record::Record,
};
use crate::{
    event::{Event, Fingerprint},
    memory,
    scenario::plan::Plan,
};

/// What files begin with that are not complete yet.
const BEGUN: &str = ".shardarium-";

#[derive(Serialize)]
struct Timing<'a> {
    key: &'a str,
    wall_seconds: f64,
    cpu_seconds: Option<f64>,
    peak_memory_bytes: Option<u64>,
}

/// A results directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    manifest: Manifest,
    runs: Journal,
    timings: Journal,
    moved: Option<PathBuf>,
}

/// Why a directory cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It holds something else.
    #[error("it holds another sweep (`shardarium {}`): leave --resume out to move it aside", .0.join(" "))]
    OtherSweep(Vec<String>),
    /// A line is no record.
    #[error("runs.ndjson:{line}: not a record: {why}")]
    BadLine {
        /// Which, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

impl Store {
    /// Makes the directory and shows by writing the manifest that it can be written to. The results of the same
    /// sweep in it are removed; other ones are moved aside.
    ///
    /// # Errors
    ///
    /// If it cannot.
    pub fn open(dir: &Path, manifest: Manifest) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let is_replaced =
            |before: &Manifest| before.is_same_sweep(&manifest) || before.arguments == manifest.arguments;
        let is_same = Manifest::read(dir).is_ok_and(|before| before.as_ref().is_some_and(is_replaced));
        let moved = if is_same { None } else { aside(dir)? };
        let failures = dir.join("failures");
        if is_same && failures.is_dir() {
            fs::remove_dir_all(&failures)?;
        }
        fs::create_dir_all(failures)?;
        let runs = Journal::create(&dir.join("runs.ndjson"))?;
        let timings = Journal::create(&dir.join("timing.ndjson"))?;
        manifest.write(dir)?;
        Ok(Self { dir: dir.to_owned(), manifest, runs, timings, moved })
    }

    /// Goes on with what an earlier sweep of the same runs left in the directory: its records, by key. A directory
    /// without a manifest is begun anew.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written, or holds another sweep.
    pub fn resume(
        dir: &Path,
        mut manifest: Manifest,
    ) -> Result<(Self, BTreeMap<String, Record>), ResumeError> {
        let Some(before) = Manifest::read(dir)? else {
            return Ok((Self::open(dir, manifest)?, BTreeMap::new()));
        };
        if !before.is_same_sweep(&manifest) {
            return Err(ResumeError::OtherSweep(before.arguments));
        }
        manifest.canaries = before.canaries;
        let (runs, lines) = Journal::resume(&dir.join("runs.ndjson"))?;
        let (timings, _) = Journal::resume(&dir.join("timing.ndjson"))?;
        let known = records(&lines).map_err(|(line, why)| ResumeError::BadLine { line, why })?;
        let known = known.into_iter().map(|record| (record.key.clone(), record)).collect();
        Ok((Self { dir: dir.to_owned(), manifest, runs, timings, moved: None }, known))
    }

    /// Where the results of another sweep are now that were in the directory.
    pub fn moved(&self) -> Option<&Path> {
        self.moved.as_deref()
    }

    /// What is known of the sweep's canaries.
    pub fn canaries(&self) -> &[Sighting] {
        &self.manifest.canaries
    }

    /// Keeps what came of the sweep's canaries.
    ///
    /// # Errors
    ///
    /// If the manifest cannot be written.
    pub fn keep_canaries(&mut self, sightings: &[Sighting]) -> io::Result<()> {
        self.manifest.canaries = sightings.to_vec();
        self.manifest.canaries.sort();
        self.manifest.write(&self.dir)
    }

    /// Keeps a run that has ended, and what is wrong with it if something is; `command` reproduces it.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn keep(&mut self, done: &Done, plan: &Plan, command: &str) -> io::Result<()> {
        let Record { key, .. } = &done.record;
        if let Some(finding) = &done.finding {
            failures::keep(&self.dir.join("failures").join(key), finding, plan, command)?;
        }
        let timing = Timing {
            key,
            wall_seconds: done.wall.as_secs_f64(),
            cpu_seconds: done.cpu.map(|cpu| cpu.as_secs_f64()),
            peak_memory_bytes: memory::peak(),
        };
        self.timings.add(&serde_json::to_string(&timing)?)?;
        self.runs.add(&serde_json::to_string(&done.record)?)
    }

    /// Ends the sweep: these runs are its result.
    ///
    /// # Errors
    ///
    /// If a file cannot be written; then what was kept stays as it is.
    pub fn close(mut self, counted: &BTreeSet<String>, ending: Ending) -> io::Result<()> {
        let (_, lines) = Journal::resume(&self.dir.join("runs.ndjson"))?;
        let records = records(&lines).map_err(|(_, why)| io::Error::new(io::ErrorKind::InvalidData, why))?;
        let records: Vec<Record> =
            records.into_iter().filter(|record| counted.contains(&record.key)).collect();
        write_records(&self.dir, &records)?;
        self.manifest.parts.iter_mut().for_each(|part| part.ending = Some(ending.word().to_owned()));
        self.manifest.write(&self.dir)?;
        tidy(&self.dir, counted)
    }
}

/// The records of these lines.
///
/// # Errors
///
/// The first line that is none, from 1, and why.
pub(super) fn records(lines: &[String]) -> Result<Vec<Record>, (usize, String)> {
    let read = |(number, line): (usize, &String)| {
        serde_json::from_str(line).map_err(|error: serde_json::Error| (number, error.to_string()))
    };
    (1..).zip(lines).map(read).collect()
}

/// Writes `runs.ndjson`, sorted by key.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn write_records(dir: &Path, records: &[Record]) -> io::Result<()> {
    let mut lines = BTreeMap::new();
    for record in records {
        lines.insert(&record.key, serde_json::to_string(record)?);
    }
    let text: String = lines.values().map(|line| format!("{line}\n")).collect();
    put(&dir.join("runs.ndjson"), |out| out.write_all(text.as_bytes()))
}

/// Removes what a kill left half done, and failures of runs that do not count.
pub(super) fn tidy(dir: &Path, counted: &BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.chain(fs::read_dir(dir.join("failures"))?) {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        let is_failure = path.parent().is_some_and(|parent| parent.ends_with("failures"));
        if name.starts_with(BEGUN) && path.is_file() {
            fs::remove_file(&path)?;
        } else if is_failure && !counted.contains(&*name) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Writes a file beside its place and moves it there.
///
/// # Errors
///
/// If it cannot be written or moved; then the place is as it was.
pub fn put(path: &Path, fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = beside(path)?;
    let mut out = io::BufWriter::new(&mut file);
    fill(&mut out)?;
    io::Write::flush(&mut out)?;
    drop(out);
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// A temporary file in the directory of `path`, with the permissions of an ordinary new file.
///
/// # Errors
///
/// If it cannot be made there.
pub fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let permissions = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.prefix(BEGUN).tempfile_in(dir)
}

/// The fingerprint of a record that ended early.
pub fn fingerprint(events: &[Event]) -> u128 {
    let mut fingerprint = Fingerprint::default();
    events.iter().for_each(|event| fingerprint.add(event));
    fingerprint.value()
}

/// Where two records of one plan part, in words.
pub fn difference(first: &[Event], second: &[Event]) -> String {
    let same = first.iter().zip(second).take_while(|(one, other)| one == other).count();
    let show = |events: &[Event]| events.get(same).map_or("the end".into(), |event| format!("{event:?}"));
    format!(
        "two runs of one plan differ at event {same}:\n  first:  {}\n  second: {}\n",
        show(first),
        show(second)
    )
}

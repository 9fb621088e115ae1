//! Stores — decides which files a sweep leaves behind. It never decides what is in a record.
//!
//! Each file is written beside its place and moved there whole: what lies in a results directory is never
//! half a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Done, Finding, record::Record};
use crate::{
    event::EVENT_VERSION,
    event::{Event, Fingerprint},
    report::{text, trace_file},
    scenario::plan::Plan,
    trial::Trial,
};

/// What `manifest.json` says of a sweep.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    /// The tool's version.
    pub tool: &'static str,
    /// The version of the vocabulary of events.
    pub event_version: u32,
    /// The version of the lines of `runs.ndjson`.
    pub schema: u32,
    /// The arguments of the sweep, the program's name left out.
    pub arguments: Vec<String>,
    /// Titles of the scenarios.
    pub scenarios: Vec<String>,
    /// Which shard, `1/1` if it is the whole.
    pub partition: String,
    /// The first and the last seed.
    pub seeds: Option<(u64, u64)>,
    /// Runs that the sweep consists of.
    pub runs: usize,
}

impl Manifest {
    /// A manifest of this version of the tool.
    pub fn new(arguments: Vec<String>, scenarios: Vec<String>, partition: String) -> Self {
        let tool = env!("CARGO_PKG_VERSION");
        Self {
            tool,
            event_version: EVENT_VERSION,
            schema: 1,
            arguments,
            scenarios,
            partition,
            seeds: None,
            runs: 0,
        }
    }
}

#[derive(Serialize)]
struct Timing<'a> {
    key: &'a str,
    wall_seconds: f64,
    peak_memory_bytes: Option<u64>,
}

/// A results directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    lines: Vec<(String, String)>,
    timings: Vec<String>,
}

impl Store {
    /// Makes the directory and shows by writing the manifest that it can be written to. The failures of an
    /// earlier sweep in it are removed.
    ///
    /// # Errors
    ///
    /// If it cannot.
    pub fn open(dir: &Path, manifest: &Manifest) -> io::Result<Self> {
        let failures = dir.join("failures");
        if dir.join("manifest.json").is_file() && failures.is_dir() {
            fs::remove_dir_all(&failures)?;
        }
        fs::create_dir_all(failures)?;
        let store = Self { dir: dir.to_owned(), lines: Vec::new(), timings: Vec::new() };
        store.put("manifest.json", |out| Ok(serde_json::to_writer_pretty(out, manifest)?))?;
        Ok(store)
    }

    /// Takes a run's record, and what is wrong with it if something is; `command` reproduces it.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn add(&mut self, done: &Done, plan: &Plan, command: &str) -> io::Result<()> {
        let Record { key, .. } = &done.record;
        self.lines.push((key.clone(), serde_json::to_string(&done.record)?));
        let timing = Timing { key, wall_seconds: done.wall.as_secs_f64(), peak_memory_bytes: peak_memory() };
        self.timings.push(serde_json::to_string(&timing)?);
        done.finding.as_ref().map_or(Ok(()), |finding| self.keep(key, finding, plan, command))
    }

    /// Writes the records, sorted by key.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn close(mut self) -> io::Result<()> {
        self.lines.sort();
        let lines: String = self.lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let timings: String = self.timings.iter().map(|line| format!("{line}\n")).collect();
        self.put("timing.ndjson", |out| out.write_all(timings.as_bytes()))?;
        self.put("runs.ndjson", |out| out.write_all(lines.as_bytes()))
    }

    fn keep(&self, key: &str, finding: &Finding, plan: &Plan, command: &str) -> io::Result<()> {
        let dir = format!("failures/{key}");
        fs::create_dir_all(self.dir.join(&dir))?;
        self.put(&format!("{dir}/plan.json"), |out| Ok(serde_json::to_writer_pretty(out, plan)?))?;
        self.put(&format!("{dir}/command"), |out| writeln!(out, "{command}"))?;
        match finding {
            Finding::Judged(trial) => {
                self.trace(&format!("{dir}/trace.ndjson"), trial)?;
                self.explain(&dir, &text::explanation(trial))
            }
            Finding::Differs { first, second } => {
                self.trace(&format!("{dir}/trace.ndjson"), first)?;
                self.trace(&format!("{dir}/trace-second.ndjson"), second)?;
                self.explain(&dir, &difference(&first.run.events, &second.run.events))
            }
            Finding::Panicked(error) => {
                let fingerprint = fingerprint(&error.events);
                let path = format!("{dir}/trace.ndjson");
                self.put(&path, |out| trace_file::write(out, plan, &error.events, fingerprint))?;
                self.explain(&dir, &format!("{error}\n"))
            }
        }
    }

    fn trace(&self, path: &str, trial: &Trial) -> io::Result<()> {
        let run = &trial.run;
        self.put(path, |out| trace_file::write(out, &trial.plan, &run.events, run.fingerprint))
    }

    fn explain(&self, dir: &str, text: &str) -> io::Result<()> {
        self.put(&format!("{dir}/explanation.txt"), |out| out.write_all(text.as_bytes()))
    }

    fn put(&self, name: &str, fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
        put(&self.dir.join(name), fill)
    }
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
    builder.prefix(".shardarium-").tempfile_in(dir)
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

/// The most memory this process has had, in bytes, where the system tells.
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

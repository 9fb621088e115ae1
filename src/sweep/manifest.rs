//! Manifests — decides what a results directory says of the sweep it holds. It never says what came of a run.

use std::{fs, hash::Hash, io, path::Path};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{Ending, Job, Subject, Sweep, canary::Sighting, seeds::Partition, store::put};
use crate::event::EVENT_VERSION;

/// The version of the lines of `runs.ndjson`.
const SCHEMA: u32 = 2;

/// The file's name.
pub const MANIFEST: &str = "manifest.json";

/// What `manifest.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The tool's version.
    pub tool: String,
    /// The version of the vocabulary of events.
    pub event_version: u32,
    /// The version of the lines of `runs.ndjson`.
    pub schema: u32,
    /// The arguments of the sweep, the program's name left out; of a merge, `merge` alone.
    pub arguments: Vec<String>,
    /// The scenarios, sorted.
    pub scenarios: Vec<Listed>,
    /// Which shard, `1/1` if it is the whole; of a merge, all of them.
    pub partition: String,
    /// The first and the last seed.
    pub seeds: Option<(u64, u64)>,
    /// Runs that the sweep consists of.
    pub runs: usize,
    /// The sweeps that are in it, sorted: one, unless it was merged.
    pub parts: Vec<Part>,
    /// What came of the canaries, sorted; they are no runs of the sweep.
    #[serde(default)]
    pub canaries: Vec<Sighting>,
}

/// A scenario of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listed {
    /// Its title.
    pub title: String,
    /// What was set from outside.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub set: String,
    /// How it was named.
    pub name: String,
    /// Goals that some run must meet.
    pub goals: Vec<String>,
}

/// A sweep that is in a results directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Hash over what the keys of all its runs follow from: which sweep it is.
    pub id: String,
    /// Which shard.
    pub partition: String,
    /// Runs that it consists of.
    pub runs: usize,
    /// How it ended; none while it is under way, and for ever if it was killed.
    pub ending: Option<String>,
}

impl Part {
    /// Whether every run of it is there.
    pub fn is_complete(&self) -> bool {
        self.ending.as_deref() == Some(Ending::Complete.word())
    }
}

impl Manifest {
    /// The manifest of a sweep that begins.
    pub fn of(sweep: &Sweep, partition: Partition, arguments: Vec<String>) -> Self {
        let mut scenarios: Vec<Listed> = sweep.subjects.iter().map(Listed::of).collect();
        scenarios.sort();
        let (partition, runs) = (partition.to_string(), sweep.jobs.len());
        Self {
            tool: env!("CARGO_PKG_VERSION").into(),
            event_version: EVENT_VERSION,
            schema: SCHEMA,
            arguments,
            scenarios,
            partition: partition.clone(),
            seeds: sweep.jobs.seeds(),
            runs,
            parts: vec![Part { id: id(sweep), partition, runs, ending: None }],
            canaries: Vec::new(),
        }
    }

    /// Reads the manifest of a directory; none if it has none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is none.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(MANIFEST)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("manifest.json: {error}"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        put(&dir.join(MANIFEST), |out| Ok(serde_json::to_writer_pretty(out, self)?))
    }

    /// Whether it is of the same runs as another one.
    pub fn is_same_sweep(&self, other: &Self) -> bool {
        let ids = |manifest: &Self| manifest.parts.iter().map(|part| part.id.clone()).collect::<Vec<_>>();
        ids(self) == ids(other)
    }

    /// Whether every run is there.
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(Part::is_complete)
    }
}

impl Listed {
    fn of(subject: &Subject) -> Self {
        let goals = subject.plan.expect.goals.clone();
        Self { title: subject.plan.title.clone(), set: subject.set_text(), name: subject.name.clone(), goals }
    }
}

fn id(sweep: &Sweep) -> String {
    let mut hash = Xxh3::new();
    for subject in 0..sweep.subjects.len() {
        hash.update(sweep.key(Job { subject, seed: 0 }).as_bytes());
    }
    sweep.jobs.hash(&mut hash);
    format!("{:016x}", hash.digest())
}

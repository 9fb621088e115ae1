//! Merging — decides what several results directories come to together: the union of their runs. It never does or
//! judges one.
//!
//! Merging is idempotent and commutative. A run that is in several directories must have one fingerprint.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    aside::aside,
    journal::whole_lines,
    manifest::{Manifest, Part},
    record::Record,
    store::{put, records, tidy, write_records},
};
use crate::event::EVENT_VERSION;

/// What a results directory holds.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where it is.
    pub dir: PathBuf,
    /// What it says of its sweep.
    pub manifest: Manifest,
    /// Its runs.
    pub records: Vec<Record>,
    timings: Vec<String>,
}

/// Two directories that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{scenario}, seed {seed} (key {key}) has two fingerprints: {} in {}, {} in {}",
    first.1, first.0.display(), second.1, second.0.display()
)]
pub struct Conflict {
    /// Title of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The run's key.
    pub key: String,
    /// A directory and its fingerprint.
    pub first: (PathBuf, String),
    /// Another one and its.
    pub second: (PathBuf, String),
}

impl Stored {
    /// Reads a results directory; a last line that a kill has torn does not count.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or holds no results.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let manifest = Manifest::read(dir)?.ok_or_else(|| bad("it holds no results of a sweep".into()))?;
        let lines = |name: &str| fs::read(dir.join(name)).map(|bytes| whole_lines(&bytes).0);
        let records = records(&lines("runs.ndjson")?)
            .map_err(|(line, why)| bad(format!("runs.ndjson:{line}: not a record: {why}")))?;
        let timings = lines("timing.ndjson").unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), manifest, records, timings })
    }
}

/// The union of several directories.
///
/// # Errors
///
/// If a run has two fingerprints.
///
/// # Panics
///
/// If there is no directory.
pub fn union(stored: &[Stored]) -> Result<(Manifest, Vec<Record>), Box<Conflict>> {
    let mut found: BTreeMap<&str, (&Stored, &Record)> = BTreeMap::new();
    for (from, record) in stored.iter().flat_map(|from| from.records.iter().map(move |record| (from, record)))
    {
        match found.get(record.key.as_str()) {
            Some((other, before)) => {
                agree((other, before), (from, record))?;
                if rank(record) > rank(before) {
                    found.insert(&record.key, (from, record));
                }
            }
            None => drop(found.insert(&record.key, (from, record))),
        }
    }
    let records = found.into_values().map(|(_, record)| record.clone()).collect();
    Ok((manifest(stored), records))
}

fn agree(first: (&Stored, &Record), second: (&Stored, &Record)) -> Result<(), Box<Conflict>> {
    match (&first.1.fingerprint, &second.1.fingerprint) {
        (Some(one), Some(other)) if one != other => Err(Box::new(Conflict {
            scenario: first.1.scenario.clone(),
            seed: first.1.seed,
            key: first.1.key.clone(),
            first: (first.0.dir.clone(), one.clone()),
            second: (second.0.dir.clone(), other.clone()),
        })),
        _ => Ok(()),
    }
}

/// Which of two records of a run stays: the worse one, and of equals the same one in any order.
fn rank(record: &Record) -> (usize, String) {
    let verdicts = ["pass", "unknown", "fail", "error"];
    let worst = verdicts.iter().position(|verdict| *verdict == record.verdict).unwrap_or_default();
    (worst, serde_json::to_string(record).unwrap_or_default())
}

fn manifest(stored: &[Stored]) -> Manifest {
    let mut parts: BTreeMap<&str, &Part> = BTreeMap::new();
    for part in stored.iter().flat_map(|from| &from.manifest.parts) {
        let is_better = parts.get(part.id.as_str()).is_none_or(|before| part.ending > before.ending);
        if is_better || part.is_complete() {
            parts.insert(&part.id, part);
        }
    }
    let parts: Vec<Part> = parts.into_values().cloned().collect();
    let partitions: BTreeSet<&str> = parts.iter().map(|part| part.partition.as_str()).collect();
    let partition = partitions.into_iter().collect::<Vec<_>>().join(", ");
    let scenarios: BTreeSet<_> = stored.iter().flat_map(|from| &from.manifest.scenarios).collect();
    let seeds = stored.iter().filter_map(|from| from.manifest.seeds);
    let (first, last) = (seeds.clone().map(|(first, _)| first).min(), seeds.map(|(_, last)| last).max());
    let canaries: BTreeSet<_> = stored.iter().flat_map(|from| &from.manifest.canaries).collect();
    Manifest {
        tool: env!("CARGO_PKG_VERSION").into(),
        event_version: EVENT_VERSION,
        schema: stored.iter().map(|from| from.manifest.schema).max().unwrap_or_default(),
        arguments: vec!["merge".into()],
        scenarios: scenarios.into_iter().cloned().collect(),
        partition,
        seeds: first.zip(last),
        runs: parts.iter().fold(0, |runs, part| runs.saturating_add(part.runs)),
        parts,
        canaries: canaries.into_iter().cloned().collect(),
    }
}

/// Moves results aside that are in a directory and not in the union that is to be written there: those of an earlier
/// merge of the same directories are, and of some of them. Where they are now.
///
/// # Errors
///
/// If they cannot be moved.
pub fn make_way(out: &Path, records: &[Record]) -> io::Result<Option<PathBuf>> {
    let united: BTreeMap<&String, &Record> = records.iter().map(|record| (&record.key, record)).collect();
    let is_in = |before: &Stored| before.records.iter().all(|one| united.get(&one.key) == Some(&one));
    let is_kept = Stored::read(out).is_ok_and(|before| is_in(&before));
    if is_kept { Ok(None) } else { aside(out) }
}

/// Writes a union to a directory, which may be one of those that it is of; what else is there is for [`make_way`].
///
/// # Errors
///
/// If a file cannot be read or written.
pub fn write(out: &Path, stored: &[Stored], manifest: &Manifest, records: &[Record]) -> io::Result<()> {
    fs::create_dir_all(out.join("failures"))?;
    for record in records {
        let kept = stored.iter().map(|from| from.dir.join("failures").join(&record.key));
        if let Some(kept) = kept.filter(|kept| kept.is_dir()).min() {
            copy(&kept, &out.join("failures").join(&record.key))?;
        }
    }
    write_records(out, records)?;
    let timings: BTreeSet<&String> = stored.iter().flat_map(|from| &from.timings).collect();
    let timings: String = timings.iter().map(|line| format!("{line}\n")).collect();
    put(&out.join("timing.ndjson"), |file| file.write_all(timings.as_bytes()))?;
    manifest.write(out)?;
    tidy(out, &records.iter().map(|record| record.key.clone()).collect())
}

/// Copies the files of a folder, each to its place whole; does nothing if they are there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if !place.exists() {
            let mut file = fs::File::open(entry.path())?;
            put(&place, |out| io::copy(&mut file, out).map(drop))?;
        }
    }
    Ok(())
}

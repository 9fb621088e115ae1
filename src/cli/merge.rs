//! Merging — decides the steps of a merge: read, unite, store, sum up. It never does a run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    args::{Format, MergeArgs},
    canary::all_noticed,
    exit::{Exit, Failure},
    output::{Outlet, say, told_of},
    summary::Summary,
    sweep::stored_finding,
};
use crate::sweep::{
    Ending,
    manifest::Manifest,
    merge::{Stored, make_way, union, write},
    record::Record,
};

pub(super) fn merge(args: &MergeArgs) -> Result<Exit, Failure> {
    let stored = args.dirs.iter().map(|dir| stored(dir)).collect::<Result<Vec<_>, _>>()?;
    let (manifest, records) = union(&stored).map_err(|conflict| {
        Failure::Internal(format!("internal error: {conflict}\n  both directories are left as they are"))
    })?;
    let cannot = |error: std::io::Error| {
        Failure::unwritable(format!("error: cannot write results to {}", args.out.display()), &error)
    };
    if !is_among(&args.out, &args.dirs) {
        told_of(make_way(&args.out, &records).map_err(cannot)?.as_deref());
    }
    write(&args.out, &stored, &manifest, &records).map_err(cannot)?;
    let ending = if manifest.is_complete() { Ending::Complete } else { Ending::OutOfTime };
    let summary = summary(&args.out, &manifest, records);
    summary.store(&args.out).map_err(cannot)?;
    let junit = args.junit.as_deref().map(Outlet::open).transpose()?;
    junit.map_or(Ok(()), |outlet| outlet.fill(|out| summary.junit(out)))?;
    if args.format == Format::Text {
        say(&unfinished(&manifest))?;
    }
    say(&summary.report(args.format, ending))?;
    all_noticed(&manifest.canaries)?;
    Ok(summary.exit(ending))
}

/// Whether the union replaces a directory that it is of.
fn is_among(out: &Path, dirs: &[PathBuf]) -> bool {
    let same = |dir: &PathBuf| fs::canonicalize(dir).ok() == fs::canonicalize(out).ok();
    out.exists() && dirs.iter().any(same)
}

fn stored(dir: &Path) -> Result<Stored, Failure> {
    Stored::read(dir)
        .map_err(|error| Failure::usage(format!("error: cannot read results in {}: {error}", dir.display())))
}

/// The sum of stored runs; failures tell the commands that reproduce them.
fn summary(dir: &Path, manifest: &Manifest, records: Vec<Record>) -> Summary {
    let mut summary = Summary::of(manifest.runs, &manifest.scenarios);
    summary.watch(manifest.canaries.clone());
    for record in records {
        let key = record.key.clone();
        summary.add(record, Duration::ZERO, || stored_finding(dir, &key));
    }
    summary
}

fn unfinished(manifest: &Manifest) -> String {
    let parts = manifest.parts.iter().filter(|part| !part.is_complete());
    parts.map(|part| format!("shard {} did not come to its end\n", part.partition)).collect()
}

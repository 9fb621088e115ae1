//! Conformance — recordings of a real ZooKeeper server replayed on the simulated ensemble, each a test case.
//!
//! A recording is a script of client operations with the results that a real server gave. Its clients speak
//! bytes, over the simulated network, to the modeled servers; every field of every result is compared.
//! Standalone profiles play on one server, those of an ensemble on three; what was recorded on one stock server
//! also plays through the leader and through a follower of three (`ens3/leader/…`, `ens3/follower/…`), where a
//! real ensemble answers the same.
//!
//! The folder is `tests/recordings`, or what `SHARDARIUM_RECORDINGS` names: each `.json` file in it is a case.
//!
//! ```text
//! cargo test --test conformance                    # all
//! cargo test --test conformance -- multi           # those whose names have `multi` in them
//! SHARDARIUM_RECORDINGS=… cargo test --test conformance
//! ```

#[path = "conformance/answer.rs"]
mod answer;
#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/ensemble.rs"]
mod ensemble;
#[path = "conformance/itself.rs"]
mod itself;
#[path = "conformance/jute.rs"]
mod jute;
#[path = "conformance/player.rs"]
mod player;
#[path = "conformance/profile.rs"]
mod profile;
#[path = "conformance/recording.rs"]
mod recording;
#[path = "conformance/request.rs"]
mod request;
#[path = "conformance/session.rs"]
mod session;
#[path = "conformance/symbols.rs"]
mod symbols;
#[path = "conformance/words.rs"]
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::{
    compare::{Zxids, differences},
    ensemble::Through,
    profile::Profile,
    recording::Recording,
};

/// How many differences of a recording are shown.
const SHOWN_MAX: usize = 12;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os("SHARDARIUM_RECORDINGS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings"));
    let all = itself::cases().into_iter().chain(cases(&folder)).collect();
    libtest_mimic::run(&arguments, all).exit_code()
}

/// Every case of a folder.
fn cases(folder: &Path) -> Vec<Trial> {
    let unreadable = |error: String| {
        let why = format!("{}: {error}", folder.display());
        vec![Trial::test("the folder of recordings", move || Err(why.into()))]
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return unreadable(error.to_string()),
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    if files.is_empty() {
        unreadable("no recordings".into())
    } else {
        files.iter().flat_map(|file| cases_of(file)).collect()
    }
}

/// The cases of a file: as it was recorded, and through an ensemble where that gives the same results.
fn cases_of(file: &Path) -> Vec<Trial> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let read = Recording::read(file)
        .and_then(|recording| Ok((Profile::of(&recording)?, Profile::in_ensemble(&recording), recording)));
    let (own, in_ensemble, recording) = match read {
        Ok(read) => read,
        Err(why) => return vec![Trial::test(name, move || Err(why.into()))],
    };
    let recording = Arc::new(recording);
    let case = |name: String, profile: Profile, through: Through| {
        let recording = recording.clone();
        Trial::test(name, move || conforms(recording, profile, through))
    };
    let mut cases = vec![case(name.clone(), own, Through::All)];
    if let Some(profile) = in_ensemble {
        cases.push(case(format!("ens3/leader/{name}"), profile.clone(), Through::Leader));
        cases.push(case(format!("ens3/follower/{name}"), profile, Through::Follower));
    }
    cases
}

/// Plays a recording; what differs is the failure.
fn conforms(recording: Arc<Recording>, profile: Profile, through: Through) -> Result<(), Failed> {
    let played = recording.clone();
    let play = async move |ensemble| player::play(&played, ensemble).await;
    let (results, stopped) = ensemble::play(profile.config, through, play)?;
    let zxids = if recording.zxid_gaps { Zxids::Order } else { Zxids::Strict };
    let wanted = &recording.results[..results.len()];
    let mut found = differences(wanted, &results, zxids);
    if let Some(why) = stopped {
        found.push(format!("[{}]: stopped here: {why}", results.len()));
    }
    if found.is_empty() { Ok(()) } else { Err(report(&recording, &found).into()) }
}

/// The differences, each below the step that it is a part of.
fn report(recording: &Recording, found: &[String]) -> String {
    let mut lines = vec![format!("{} of the results of `{}` differ", found.len(), recording.name)];
    let mut shown_step = None;
    for difference in found.iter().take(SHOWN_MAX) {
        let step = difference.strip_prefix('[').and_then(|rest| rest.split(']').next()?.parse().ok());
        if step != shown_step {
            lines.extend(
                step.and_then(|step: usize| Some(format!("  {step}: {}", recording.steps.get(step)?))),
            );
            shown_step = step;
        }
        lines.push(format!("    {difference}"));
    }
    if found.len() > SHOWN_MAX {
        lines.push(format!("    and {} more", found.len() - SHOWN_MAX));
    }
    lines.join("\n")
}

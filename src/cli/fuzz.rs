//! Fuzzing from the command line — decides which random scenarios are run and where findings go. It never decides
//! what is tried.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    args::{Format, FuzzArgs},
    exit::{Exit, Failure},
    output::{say, told_of},
    progress::{Progress, Wrong},
    shrink::place,
};
use crate::{
    defect::Defects,
    fuzz::{Case, Fuzz, GIVEN_UP, News, Tally},
    report::{
        scenario_file,
        words::{counted, grouped, quoted_file},
    },
    scenario::generate::{Profile, Scenarios},
    shrink::{self, Budget},
    sweep::{
        Ending, Journal,
        aside::{aside, free},
        cores,
        manifest::MANIFEST,
        seeds::Seeds,
        store::put,
    },
    trial::Machine,
    workload::arrivals::expand,
};

pub(super) fn fuzz(args: &FuzzArgs, machine: Machine) -> Result<Exit, Failure> {
    let (fuzz, machine) = (planned(args), machine.within(args.time_limit));
    let mut books = Books::open(args, fuzz.seeds.end.saturating_sub(fuzz.seeds.start))?;
    let tally = fuzz.run(machine, |news| books.enter(news));
    books.progress.clear();
    let mut tally =
        tally.map_err(|error| Failure::Unfinished(format!("error: cannot write findings: {error}")))?;
    if is_until_time(args) && tally.ending == Ending::OutOfTime {
        tally.ending = Ending::Complete;
    }
    let report = match args.format {
        Format::Text => text(args.profile, &tally, &books),
        Format::Json => serde_json::to_string(&tally).expect("a tally is JSON") + "\n",
    };
    say(&report)?;
    Ok(exit(&tally))
}

fn planned(args: &FuzzArgs) -> Fuzz {
    let threads = args.jobs.unwrap_or_else(cores);
    let defects = args.defect.iter().copied().collect();
    let all = if is_until_time(args) { u64::MAX } else { args.runs.unwrap_or(FuzzArgs::RUNS) };
    let Seeds(seeds) = args.seeds.clone().unwrap_or(Seeds(0..all));
    Fuzz {
        scenarios: Scenarios::of(args.profile),
        seeds,
        defects: Defects(defects),
        threads,
        fail_max: args.max_fail,
        wall_max: args.wall,
        shrinking: (args.budget > 0).then_some(Budget { runs: args.budget, wall: None, threads }),
    }
}

/// Whether the time alone says when it is enough.
fn is_until_time(args: &FuzzArgs) -> bool {
    args.wall.is_some() && args.runs.is_none() && args.seeds.is_none()
}

/// The worst of what happened decides.
fn exit(tally: &Tally) -> Exit {
    match () {
        () if tally.of("error") > 0 => Exit::Internal,
        () if tally.of("fail") > 0 => Exit::Broken,
        () if tally.of(GIVEN_UP) > 0 || tally.ending == Ending::OutOfTime => Exit::Unfinished,
        () if tally.cases == 0 => Exit::Nothing,
        () if tally.of("unknown") > 0 => Exit::Undecided,
        () => Exit::Fine,
    }
}

/// What is kept of the cases.
struct Books {
    out: Option<PathBuf>,
    profile: &'static Profile,
    /// A line a case, as `runs.ndjson` has them.
    lines: Option<Journal>,
    findings: Vec<String>,
    progress: Progress,
    wrong: Wrong,
}

impl Books {
    fn open(args: &FuzzArgs, cases: u64) -> Result<Self, Failure> {
        let cannot = |dir: &Path, error: io::Error| {
            Failure::unwritable(format!("error: cannot write findings to {}", dir.display()), &error)
        };
        let lines = args.out.as_deref().map(|dir| {
            // The lines of a sweep have a manifest beside them.
            let moved = if dir.join(MANIFEST).is_file() { aside(dir) } else { Ok(None) };
            moved.map(|moved| told_of(moved.as_deref())).map_err(|error| cannot(dir, error))?;
            let lines = fs::create_dir_all(dir).and_then(|()| Journal::create(&dir.join("runs.ndjson")));
            lines.map_err(|error| cannot(dir, error))
        });
        let lines = lines.transpose()?;
        Ok(Self {
            out: args.out.clone(),
            profile: args.profile,
            lines,
            findings: Vec::new(),
            progress: if is_until_time(args) { Progress::endless() } else { Progress::of(cases) },
            wrong: Wrong::default(),
        })
    }

    fn enter(&mut self, news: News<'_>) -> io::Result<()> {
        match news {
            News::Ended(case) => {
                self.shown(case);
                self.line(case)
            }
            News::Shrunk(case, shrunk) => {
                let text = shrink::file(&shrunk).map_err(io::Error::other)?;
                let (before, after) = shrunk.sizes;
                let how = format!("{} steps shrunk to {} in {} runs", before.steps, after.steps, shrunk.runs);
                self.finding(case, shrunk.target.name(), &text, &how)
            }
            News::Whole(case, plan, why) => {
                let reason = case.why.clone().unwrap_or_default();
                let law = case.law.as_deref().unwrap_or("panic");
                let comment = format!("{}: breaks {law}.\n\n{reason}", plan.title);
                let text = scenario_file::write(&expand(&plan), &comment).map_err(io::Error::other)?;
                let how = why.map_or_else(|| "not shrunk".to_owned(), |why| format!("not shrunk: {why}"));
                self.finding(case, law, &text, &how)
            }
        }
    }

    fn shown(&mut self, case: &Case) {
        let Wrong { failing, undecided, given_up } = &mut self.wrong;
        match case.verdict {
            _ if case.is_failure() => *failing += 1,
            "unknown" => *undecided += 1,
            GIVEN_UP => *given_up += 1,
            _ => {}
        }
        self.progress.step(self.wrong);
    }

    fn line(&mut self, case: &Case) -> io::Result<()> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        lines.add(&serde_json::to_string(case)?)
    }

    fn finding(&mut self, case: &Case, law: &str, text: &str, how: &str) -> io::Result<()> {
        let plain = law.replace('.', "-");
        let name = format!("{plain}-{}-{}.toml", self.profile.name, case.seed);
        let path = self.out.as_ref().map_or_else(|| place(&name), |dir| dir.join(&name));
        let path = free(&path, text.as_bytes());
        put(&path, |out| out.write_all(text.as_bytes()))?;
        let path = path.to_string_lossy();
        let why = case.why.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
        self.findings.push(format!(
            "{law}, seed {}: {why}\n    {how}\n    shardarium run {}\n",
            case.seed,
            quoted_file(&path)
        ));
        Ok(())
    }
}

fn text(profile: &Profile, tally: &Tally, books: &Books) -> String {
    let mut text = String::new();
    for finding in &books.findings {
        text += &format!("  {finding}\n");
    }
    for (law, seeds) in tally.laws.iter().filter(|(_, seeds)| seeds.len() > 1) {
        let first: Vec<String> = seeds.iter().take(12).map(u64::to_string).collect();
        text += &format!("  {law}: {} cases, seeds {} …\n", seeds.len(), first.join(" "));
    }
    let verdicts: Vec<String> =
        tally.verdicts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let goals: Vec<String> = tally.goals.iter().map(|(goal, cases)| format!("{goal} {cases}")).collect();
    text += &format!("profile {}: {}\n", profile.name, verdicts.join(", "));
    text += &format!("goals met, by cases: {}\n", goals.join(", "));
    text += match tally.ending {
        Ending::Complete => "",
        Ending::EnoughFailures => "Stopped: enough cases have failed.\n",
        Ending::OutOfTime => "Not every case was run: the time was up.\n",
    };
    let seconds = tally.wall.as_secs_f64();
    text + &format!(
        "{}, {:.0} s simulated in {seconds:.1} s of runs, {} events\n",
        counted(tally.cases, "case", "cases"),
        tally.simulated,
        grouped(tally.events)
    )
}

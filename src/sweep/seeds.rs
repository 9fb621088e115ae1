//! Seeds and shards — decides which runs a sweep, or one shard of it, consists of. It never does one.

use std::{collections::BTreeSet, fmt, ops::Range, str::FromStr};

use super::Job;

/// The seeds of a sweep, written `A..B` (without B, as in Rust) or `A..=B`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a range of seeds: write `0..200`, or `0..=199` for the same");
        let (first, last) = text.split_once("..").ok_or_else(bad)?;
        let first: u64 = first.parse().map_err(|_| bad())?;
        let end = match last.strip_prefix('=') {
            Some(last) => last.parse::<u64>().ok().and_then(|last| last.checked_add(1)),
            None => last.parse().ok(),
        };
        let end = end.ok_or_else(bad)?;
        if first <= end { Ok(Self(first..end)) } else { Err(format!("`{text}` ends before it begins")) }
    }
}

/// Shard `number` of `of`, from 1: every `of`-th run, starting with the `number`-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Which, from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl Partition {
    /// The whole.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// The shard that an engine's environment names: a Slurm array, a Kubernetes Indexed Job (which does not say
    /// how many there are: `of` must), or a CI matrix.
    ///
    /// # Errors
    ///
    /// If it names none, or one that cannot be.
    pub fn auto(variable: impl Fn(&str) -> Option<String>, of: Option<usize>) -> Result<Self, String> {
        let number = |name: &str| -> Result<Option<usize>, String> {
            let Some(text) = variable(name) else { return Ok(None) };
            text.trim().parse().map(Some).map_err(|_| format!("{name} is `{text}`, which is no number"))
        };
        let (found, name) = if let Some(task) = number("SLURM_ARRAY_TASK_ID")? {
            let (first, step) = (number("SLURM_ARRAY_TASK_MIN")?, number("SLURM_ARRAY_TASK_STEP")?);
            let place = task.saturating_sub(first.unwrap_or(0)) / step.unwrap_or(1).max(1);
            ((Some(place + 1), of.or(number("SLURM_ARRAY_TASK_COUNT")?)), "SLURM_ARRAY_TASK_COUNT or --of N")
        } else if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            ((Some(index + 1), of), "--of N, the job's completions")
        } else {
            ((number("CI_NODE_INDEX")?, of.or(number("CI_NODE_TOTAL")?)), "CI_NODE_TOTAL or --of N")
        };
        match found {
            (None, _) => {
                Err("nothing names a shard: set SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX or CI_NODE_INDEX, \
                 or write `--partition K/N`"
                    .into())
            }
            (Some(number), None) => Err(format!("shard {number} of how many? {name} says it")),
            (Some(number), Some(of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            (Some(number), Some(of)) => Err(format!("there is no shard {number} of {of}")),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, of)| {
            let partition = Self { number: number.parse().ok()?, of: of.parse().ok()? };
            (1..=partition.of).contains(&partition.number).then_some(partition)
        });
        parsed.ok_or_else(|| format!("`{text}` is not a shard: write `1/4` for the first of four"))
    }
}

/// The runs of a sweep or of a shard of it, in the order in which they count. Each follows from its number, so that
/// any count of them takes no memory.
///
/// They go seed by seed through all scenarios, so that each shard and each beginning of a sweep has something of every
/// scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Jobs {
    /// How many scenarios.
    scenarios: usize,
    /// The seed of the first runs.
    first: u64,
    /// How many runs all shards have.
    all: usize,
    /// Of which these are its.
    partition: Partition,
}

impl Jobs {
    /// The runs of `scenarios` scenarios over the same seeds.
    pub fn over(scenarios: usize, Seeds(seeds): &Seeds) -> Self {
        let count = seeds.end.saturating_sub(seeds.start);
        // Nobody comes to the end of more.
        let all = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(scenarios);
        Self { scenarios, first: seeds.start, all, partition: Partition::WHOLE }
    }

    /// `count` runs in all, spread over the scenarios, with seeds from 0.
    pub fn spread(scenarios: usize, count: usize) -> Self {
        let all = if scenarios == 0 { 0 } else { count };
        Self { scenarios, first: 0, all, partition: Partition::WHOLE }
    }

    /// Those of a shard of the whole.
    pub fn of(self, partition: Partition) -> Self {
        Self { partition, ..self }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.all.saturating_sub(self.partition.number - 1).div_ceil(self.partition.of)
    }

    /// Whether there is nothing to run.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The run of this number, from 0.
    pub fn get(self, number: usize) -> Option<Job> {
        let among_all = number.checked_mul(self.partition.of)?.checked_add(self.partition.number - 1)?;
        let (subject, seeds_on) = (among_all.checked_rem(self.scenarios)?, among_all / self.scenarios);
        (among_all < self.all).then(|| Job { subject, seed: self.first + seeds_on as u64 })
    }

    /// The first and the last seed.
    pub fn seeds(self) -> Option<(u64, u64)> {
        let last = self.get(self.len().checked_sub(1)?)?;
        Some((self.get(0)?.seed, last.seed))
    }

    /// The scenarios that are run: those of the first runs, since later ones only repeat them.
    pub fn subjects(self) -> BTreeSet<usize> {
        (0..self.scenarios).map_while(|number| self.get(number)).map(|job| job.subject).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn range_is_rusts() {
        assert_eq!("3..6".parse(), Ok(Seeds(3..6)));
        assert_eq!("3..=6".parse(), Ok(Seeds(3..7)));
        assert_eq!(("5..5".parse(), "5..=4".parse()), (Ok(Seeds(5..5)), Ok(Seeds(5..5))));
        for text in ["", "3", "5..3", "5..=3", "..3", "3..", "a..b", "-1..2", "0..=18446744073709551615"] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }

    #[test]
    fn shard_counts_from_one() {
        assert_eq!("4/4".parse(), Ok(Partition { number: 4, of: 4 }));
        for text in ["0/4", "5/4", "1/0", "1", "a/b"] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
    }

    #[test]
    fn shard_is_found_in_the_environment_of_an_engine() {
        let auto = |set: &[(&str, &str)], of| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let found = |name: &str| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone());
            Partition::auto(found, of).map(|shard| shard.to_string())
        };
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "5"),
        ];
        assert_eq!(auto(&slurm, None), Ok("3/5".into()));
        assert_eq!(auto(&[("JOB_COMPLETION_INDEX", "0")], Some(8)), Ok("1/8".into()));
        assert!(auto(&[("JOB_COMPLETION_INDEX", "0")], None).unwrap_err().contains("--of N"));
        assert_eq!(auto(&[("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "4")], None), Ok("2/4".into()));
        assert!(auto(&[("CI_NODE_INDEX", "5"), ("CI_NODE_TOTAL", "4")], None).is_err());
        assert!(auto(&[("CI_NODE_INDEX", "x")], None).unwrap_err().contains("no number"));
        assert!(auto(&[], Some(3)).unwrap_err().contains("--partition K/N"));
    }

    #[test]
    fn runs_are_spread_over_scenarios() {
        assert_eq!(pairs(Jobs::spread(2, 3)), [(0, 0), (1, 0), (0, 1)]);
        assert_eq!(pairs(Jobs::over(2, &Seeds(7..9))), [(0, 7), (1, 7), (0, 8), (1, 8)]);
        assert!(Jobs::spread(0, 3).is_empty() && Jobs::over(0, &Seeds(7..9)).is_empty());
    }

    fn pairs(jobs: Jobs) -> Vec<(usize, u64)> {
        (0..).map_while(|number| jobs.get(number)).map(|job| (job.subject, job.seed)).collect()
    }

    #[test]
    fn runs_beyond_counting_are_there_all_the_same() {
        let jobs = Jobs::over(3, &Seeds(1..u64::MAX));
        assert_eq!(jobs.get(7), Some(Job { subject: 1, seed: 3 }));
        assert_eq!((jobs.len(), jobs.get(usize::MAX)), (usize::MAX, None));
        let shard = jobs.of(Partition { number: 2, of: 2 });
        assert_eq!(shard.get(1), Some(Job { subject: 0, seed: 2 }));
        assert_eq!(shard.seeds().map(|(first, _)| first), Some(1));
    }

    proptest! {
        #[test]
        fn shards_are_every_so_manieth_run(
            scenarios in 1_usize..5,
            seeds in 0_u64..12,
            of in 1_usize..8,
        ) {
            let whole = Jobs::over(scenarios, &Seeds(3..3 + seeds));
            let all = pairs(whole);
            prop_assert_eq!(all.len(), scenarios * seeds as usize);
            for number in 1..=of {
                let shard = whole.of(Partition { number, of });
                let its: Vec<_> = all.iter().copied().skip(number - 1).step_by(of).collect();
                prop_assert_eq!(shard.len(), its.len());
                prop_assert_eq!(shard.seeds(), its.first().zip(its.last()).map(|(first, last)| (first.1, last.1)));
                prop_assert_eq!(shard.subjects(), its.iter().map(|job| job.0).collect());
                prop_assert_eq!(pairs(shard), its);
            }
        }
    }
}

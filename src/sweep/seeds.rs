//! Seeds and shards — decides which runs a sweep, or one shard of it, consists of. It never does one.

use std::{fmt, ops::Range, str::FromStr};

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
        Ok(Self(first..end.ok_or_else(bad)?))
    }
}

/// Shard `number` of `of`, from 1: every `of`-th run, starting with the `number`-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// The runs of this shard.
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.number - 1).step_by(self.of).collect()
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

/// The runs of `scenarios` scenarios over the same seeds: seed by seed, so that each shard and each beginning
/// of a sweep has something of every scenario.
pub fn over_seeds(scenarios: usize, seeds: &Seeds) -> Vec<Job> {
    seeds.0.clone().flat_map(|seed| (0..scenarios).map(move |subject| Job { subject, seed })).collect()
}

/// `count` runs in all, spread over the scenarios, with seeds from 0.
pub fn runs(scenarios: usize, count: usize) -> Vec<Job> {
    let of = scenarios.max(1);
    (0..count).map(|number| Job { subject: number % of, seed: (number / of) as u64 }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn range_is_rusts() {
        assert_eq!("3..6".parse(), Ok(Seeds(3..6)));
        assert_eq!("3..=6".parse(), Ok(Seeds(3..7)));
        for text in ["", "3", "..3", "3..", "a..b", "-1..2", "0..=18446744073709551615"] {
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
        let jobs = runs(2, 3);
        let pairs: Vec<(usize, u64)> = jobs.iter().map(|job| (job.subject, job.seed)).collect();
        assert_eq!(pairs, [(0, 0), (1, 0), (0, 1)]);
    }

    proptest! {
        #[test]
        fn shards_are_disjoint_and_cover_all(count in 0_usize..50, of in 1_usize..8) {
            let shard = |number| Partition { number, of }.of((0..count).collect::<Vec<_>>());
            let mut all: Vec<usize> = (1..=of).flat_map(shard).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }
}

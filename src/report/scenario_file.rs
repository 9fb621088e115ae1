//! Scenario files of plans — decides how a plan is written as a file that runs as it is. It never changes what the
//! plan does.

use serde::Serialize;

use crate::{
    check::verdict::Verdict,
    scenario::{check::Vocabulary, format::Scenario, plan::Plan},
    trial::Trial,
};

/// Columns of a comment.
const WIDTH: usize = 100;

/// The file of a plan, with a first comment; it reads back as the plan, its seed included.
///
/// # Errors
///
/// Why the plan cannot be run from a file.
pub fn write(plan: &Plan, comment: &str) -> Result<String, String> {
    if let Some(why) = plan.unsound(&Vocabulary::current()) {
        return Err(why);
    }
    let mut scenario = Scenario::from(plan);
    let operations = std::mem::take(&mut scenario.operations);
    let on_zookeeper = std::mem::take(&mut scenario.zookeeper_operations);
    let text = toml::to_string(&scenario).map_err(|error| error.to_string())?;
    let (operations, on_zookeeper) =
        (listed("operations", &operations)?, listed("zookeeper_operations", &on_zookeeper)?);
    Ok(format!("{}\n{text}{operations}{on_zookeeper}", commented(comment)))
}

/// The many operations last, so that the rest is found.
fn listed(table: &str, operations: &[impl Serialize]) -> Result<String, String> {
    let one = |operation| {
        let text = toml::to_string(operation).map_err(|error| error.to_string())?;
        Ok(format!("\n[[{table}]]\n{text}"))
    };
    operations.iter().map(one).collect()
}

/// What came of a run, for the first comment of its file.
pub fn comment(trial: &Trial) -> String {
    let Trial { plan, run, .. } = trial;
    let first = trial.first_failure().map(|judgement| (&judgement.law, &judgement.verdict));
    let verdict = match first {
        Some((law, Verdict::Fail { at, why, .. })) => {
            format!("Breaks {law} at {:.3} s.\n\n{why}", at.seconds())
        }
        _ => format!("Verdict: {}.", trial.standing().word()),
    };
    format!("{}, seed {}. {verdict}\n\nFingerprint {:032x}.", plan.title, plan.seed, run.fingerprint)
}

/// Text as the lines of a comment, none longer than a line should be.
fn commented(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + word.len() >= WIDTH && line != "#" {
                lines += &format!("{line}\n");
                line = String::from("#");
            }
            line += &format!(" {word}");
        }
        lines += &format!("{line}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scenario::{builtin, read::read},
        workload::arrivals::expand,
    };

    #[test]
    fn file_reads_back_as_the_plan() {
        for builtin in builtin::ALL.iter().filter(|one| one.name != "large") {
            let plan = expand(&builtin.scenario().plan(5));
            let text = write(&plan, "what it is\nand why").unwrap();
            assert!(text.starts_with("# what it is\n# and why\n\ntitle = "), "{text}");
            let scenario = read(builtin.name, &text, &Vocabulary::current()).unwrap();
            assert_eq!(scenario.plan(scenario.seed.unwrap()), plan, "{}", builtin.name);
        }
    }

    #[test]
    fn long_comment_is_broken_between_words() {
        let text = commented(&"word ".repeat(50));
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn plan_that_no_file_says_is_not_written() {
        let mut plan = builtin::DEFAULT.scenario().plan(1);
        plan.nodes.clear();
        assert!(write(&plan, "").is_err());
    }
}

//! JUnit reports — decides how runs look to a CI: a suite a scenario, a case a seed, classed by the law that it broke. It
//! never has times in it: equal sweeps give equal reports.

use std::{collections::BTreeMap, io};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::sweep::record::Record;

/// What is said of a failing run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// The explanation's head.
    pub head: String,
    /// The command that reproduces it.
    pub command: String,
}

/// Writes the report; findings are by the keys of runs.
///
/// # Errors
///
/// If `out` cannot be written.
pub fn write(
    out: &mut dyn io::Write,
    records: &[Record],
    findings: &BTreeMap<String, Finding>,
) -> io::Result<()> {
    let mut suites: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        suites.entry(suite(record)).or_default().push(record);
    }
    let mut report = Report::new("shardarium");
    for (name, mut runs) in suites {
        runs.sort_by_key(|record| record.seed);
        let mut suite = TestSuite::new(name);
        suite.add_test_cases(runs.iter().map(|record| case(record, findings.get(&record.key))));
        report.add_test_suite(suite);
    }
    let text = report.to_string().map_err(io::Error::other)?;
    out.write_all(without_skipped_in_all(text).as_bytes())
}

/// Jenkins's schema (`junit-10.xsd` of its xUnit plugin) has no `skipped` on the root, only on each suite.
fn without_skipped_in_all(mut text: String) -> String {
    const BEFORE: &str = " skipped=\"";
    let attribute = text.find(BEFORE).and_then(|from| {
        let length = text[from + BEFORE.len()..].find('"')?;
        Some(from..from + BEFORE.len() + length + 1)
    });
    attribute.into_iter().for_each(|range| text.replace_range(range, ""));
    text
}

fn suite(record: &Record) -> String {
    if record.set.is_empty() {
        record.scenario.clone()
    } else {
        format!("{} [{}]", record.scenario, record.set)
    }
}

fn case(record: &Record, finding: Option<&Finding>) -> TestCase {
    let mut status = match record.verdict.as_str() {
        "pass" => TestCaseStatus::success(),
        "fail" => TestCaseStatus::non_success(NonSuccessKind::Failure),
        "unknown" => TestCaseStatus::skipped(),
        _ => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let law = record.law.as_deref().unwrap_or("laws");
    if record.verdict != "pass" {
        status.set_message(record.why.clone().unwrap_or_else(|| record.verdict.clone()));
    }
    if let Some(Finding { head, command }) = finding.filter(|_| record.is_failure()) {
        status.set_type(law).set_description(format!("{head}\n{command}\n"));
    }
    let mut case = TestCase::new(format!("seed {}", record.seed), status);
    case.set_classname(law);
    // Some show a case's output and not what its failure says.
    if let Some(Finding { command, .. }) = finding.filter(|_| record.is_failure()) {
        case.set_system_out(format!("{command}\n"));
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, seed: u64, verdict: &str, law: Option<&str>) -> Record {
        let record = serde_json::json!({
            "key": key, "scenario": "A & B", "seed": seed, "verdict": verdict, "law": law, "why": law.map(|_| "x < y"),
            "events": 0, "messages": 0, "simulated": 1.0, "crashes": 0, "pauses": 0, "cuts": 0, "missed": 0,
            "unavailable": 0.0, "moves": 0, "goals": [],
        });
        serde_json::from_value(record).unwrap()
    }

    fn report(records: &[Record]) -> String {
        let finding = Finding { head: "the head".into(), command: "shardarium run a --seed 2".into() };
        let mut out = Vec::new();
        write(&mut out, records, &BTreeMap::from([("k2".to_owned(), finding)])).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn report_with_special_characters_reads_back_as_it_was() {
        let mut failing = record("k2", 2, "fail", Some("zab.one-leader"));
        let odd = "a \"b\" <c> & 'd' ]]> \u{1b}[31me\u{0} é";
        (failing.scenario, failing.why) = (odd.into(), Some(odd.into()));
        let finding = Finding { head: odd.into(), command: "shardarium run 'a&b <c>' --seed 2".into() };
        let mut out = Vec::new();
        write(&mut out, &[failing], &BTreeMap::from([("k2".to_owned(), finding)])).unwrap();
        let back = Report::deserialize(&*out).unwrap();
        let (suite, case) = (&back.test_suites[0], &back.test_suites[0].test_cases[0]);
        // XML has no way to write control characters; colours go whole.
        let shown = "a \"b\" <c> & 'd' ]]> e é";
        assert_eq!((suite.name.as_str(), suite.tests, suite.failures), (shown, 1, 1));
        let TestCaseStatus::NonSuccess { message, description, ty, .. } = &case.status else {
            panic!("{case:?}")
        };
        assert_eq!((message.as_deref(), ty.as_deref()), (Some(shown), Some("zab.one-leader")));
        let told = description.as_deref().unwrap();
        assert!(told.contains(shown) && told.contains("'a&b <c>'"), "{told}");
        assert_eq!(case.system_out.as_deref().map(str::trim), Some("shardarium run 'a&b <c>' --seed 2"));
    }

    #[test]
    fn failure_is_classed_by_its_law_and_tells_how_to_repeat_it() {
        let report = report(&[
            record("k2", 2, "fail", Some("zab.one-leader")),
            record("k1", 1, "pass", None),
            record("k3", 3, "error", None),
            record("k4", 4, "unknown", None),
        ]);
        for part in [
            "<testsuites name=\"shardarium\" tests=\"4\" failures=\"1\" errors=\"1\">",
            "failures=\"1\"",
            "errors=\"1\"",
            "name=\"seed 2\" classname=\"zab.one-leader\"",
            "A &amp; B",
            "the head",
            "shardarium run a --seed 2",
        ] {
            assert!(report.contains(part), "{part}\n{report}");
        }
        assert!(!report.contains("time"), "{report}");
    }
}

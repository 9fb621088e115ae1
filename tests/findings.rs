//! Findings — decides whether what was found once stays mended: every file of `scenarios/regress/`, at the seed it broke
//! at and at the next ones. It never looks for more.

use shardarium::{
    scenario::builtin,
    trial::{assert_holds, laws},
};

#[test]
fn findings_stay_mended() {
    let findings = || builtin::ALL.iter().filter(|builtin| builtin.folder == "regress");
    assert!(findings().count() > 0, "findings are kept");
    for finding in findings() {
        let seed = finding.scenario().seed.expect("a finding names the seed that broke");
        let comment: String = finding.text.lines().take_while(|line| line.starts_with('#')).collect();
        let is_named = laws().iter().any(|law| comment.contains(law.name));
        assert!(is_named, "the first comment of {} says which law broke", finding.name);
        assert_holds(finding.name, finding.text, seed..seed + 3);
    }
}

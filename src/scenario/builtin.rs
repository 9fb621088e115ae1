//! Built-in scenarios — decides which scenario files the binary carries, and how they are addressed. It never
//! changes one.
//!
//! Every file below `scenarios/` is built in, whatever folder it lies in. Its name is the file's without its
//! ending; no two files share one.

use std::sync::LazyLock;

use crate::scenario::{check::Vocabulary, format::Scenario, read::read};

/// A scenario file that the binary carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// The folder it lies in, below `scenarios/`; empty if in none.
    pub folder: &'static str,
    /// The name to run it by: the file's, without its ending.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

impl Builtin {
    /// What the file says.
    ///
    /// # Panics
    ///
    /// If a file that the binary carries is unsound, which a test rules out.
    pub fn scenario(&self) -> Scenario {
        let read = read(self.name, self.text, &Vocabulary::current());
        read.unwrap_or_else(|problems| panic!("a built-in scenario is sound\n{problems}"))
    }

    /// Whether this address is its own: `NAME` or `FOLDER/NAME`.
    fn is_at(&self, address: &str) -> bool {
        match address.rsplit_once('/') {
            Some((folder, name)) => folder == self.folder && name == self.name,
            None => address == self.name,
        }
    }
}

/// Every built-in scenario, folder by folder.
pub const ALL: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// The scenario to run when none is named.
pub static DEFAULT: LazyLock<Builtin> =
    LazyLock::new(|| named(STANDARD[0]).expect("the default scenario is built in"));

/// What a sweep runs where nothing is named.
pub const STANDARD: [&str; 3] = ["first-failover", "discovery", "balance"];

/// The scenario that has the canary of sweeps whose own name none: it fails within milliseconds.
pub const CANARY: &str = "zk-uncommitted-tail";

/// What speed and memory are measured on.
pub const MEASURED: [&str; 5] = ["first-failover", "discovery", "balance", "standard", "large"];

/// The built-in scenario at this address: `NAME` or `FOLDER/NAME`.
pub fn named(address: &str) -> Option<Builtin> {
    ALL.iter().find(|builtin| builtin.is_at(address)).copied()
}

/// The built-in scenarios of a folder, or of one below it.
pub fn within(folder: &str) -> impl Iterator<Item = &'static Builtin> {
    let prefix = format!("{folder}/");
    ALL.iter().filter(move |builtin| builtin.folder == folder || builtin.folder.starts_with(&prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_is_found_by_name_and_by_folder() {
        let found = named("failover/deposed-primary").expect("the scenario is there");
        assert_eq!(named("deposed-primary"), Some(found));
        assert_eq!((found.folder, found.name), ("failover", "deposed-primary"));
        assert_eq!(named("balance/deposed-primary"), None);
        assert!(within("failover").any(|one| *one == found) && within("fail").next().is_none());
    }

    #[test]
    fn no_two_scenarios_share_a_name() {
        for (number, one) in ALL.iter().enumerate() {
            assert!(ALL[..number].iter().all(|other| other.name != one.name), "{}", one.name);
        }
    }

    #[test]
    fn scenarios_that_are_run_by_default_are_there() {
        for name in STANDARD.into_iter().chain(MEASURED) {
            assert!(named(name).is_some(), "{name}");
        }
    }
}

//! Canaries — decides which runs must fail beside those of a sweep, and whether they have. It never adds one to the
//! sweep's own runs.
//!
//! A canary has a historic bug switched on, at a seed at which a law is known to break: where it passes, a pass of the
//! others says nothing.

use std::{collections::BTreeMap, num::NonZeroUsize, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{Clerk, Sweep, side_by_side};
use crate::{
    defect::Defect,
    scenario::{builtin, format::Scenario, plan::Plan},
    sim::RunError,
    trial::Machine,
};

/// A run that must fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// How the user names its scenario.
    pub scenario: String,
    /// The historic bug.
    pub defect: Defect,
    /// What is run.
    pub plan: Plan,
}

/// What came of a canary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// How the user names its scenario.
    pub scenario: String,
    /// The historic bug.
    pub defect: Defect,
    /// The seed.
    pub seed: u64,
    /// The law that it broke first; none if no law noticed it.
    pub law: Option<String>,
}

/// A canary of which nothing can be said, and why.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
pub struct Lost(pub Box<Canary>, pub RunError);

impl Canary {
    /// The one that a scenario names. Nothing that is set from outside goes into it: it is known to fail as the file
    /// has it.
    pub fn of(name: &str, scenario: &Scenario) -> Option<Self> {
        let named = scenario.canary.as_ref()?;
        let (defect, mut plan) = (named.defect?, scenario.plan(named.seed));
        plan.defects.0.insert(defect);
        Some(Self { scenario: name.to_owned(), defect, plan })
    }

    /// The one of a sweep whose scenarios name none.
    ///
    /// # Panics
    ///
    /// If the built-in scenario lacks it, which a test rules out.
    pub fn builtin() -> Self {
        let scenario = builtin::named(builtin::CANARY).map(|builtin| builtin.scenario());
        let canary = scenario.and_then(|scenario| Self::of(builtin::CANARY, &scenario));
        canary.expect("a built-in scenario has the canary of sweeps")
    }

    fn sighting(&self, machine: Machine) -> Result<Sighting, RunError> {
        let trial = machine.trial(&self.plan)?;
        let law = trial.first_failure().map(|judgement| judgement.law.clone());
        Ok(Sighting { law, ..self.unseen() })
    }

    fn unseen(&self) -> Sighting {
        Sighting { scenario: self.scenario.clone(), defect: self.defect, seed: self.plan.seed, law: None }
    }

    fn is_it(&self, sighting: &Sighting) -> bool {
        *sighting == Sighting { law: sighting.law.clone(), ..self.unseen() }
    }
}

/// The canaries of a sweep: those that its scenarios name, else the built-in one. A scenario that has a defect is one
/// itself, and needs none.
pub fn canaries(sweep: &Sweep) -> Vec<Canary> {
    let sound = sweep.jobs.subjects().into_iter().map(|number| &sweep.subjects[number]);
    let sound: Vec<_> = sound.filter(|subject| subject.plan.defects.0.is_empty()).collect();
    let named = sound.iter().filter_map(|subject| subject.canary.clone());
    let named: BTreeMap<_, _> =
        named.map(|canary| ((canary.scenario.clone(), canary.defect), canary)).collect();
    match (sound.is_empty(), named.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => vec![Canary::builtin()],
        (false, false) => named.into_values().collect(),
    }
}

/// Runs canaries, those left out that an earlier part of the sweep has noticed, and says what came of each.
///
/// # Errors
///
/// The first that panicked or took too long.
pub fn sightings(
    canaries: &[Canary],
    before: &[Sighting],
    (machine, threads): (Machine, NonZeroUsize),
) -> Result<Vec<Sighting>, Lost> {
    let noticed = |canary: &Canary| {
        before.iter().find(|sighting| canary.is_it(sighting) && sighting.law.is_some()).cloned()
    };
    let work = |number: usize| {
        let canary = canaries.get(number)?;
        let sighting = noticed(canary).map_or_else(|| canary.sighting(machine), Ok);
        Some(sighting.map_err(|error| Lost(Box::new(canary.clone()), error)))
    };
    let threads = threads.get().min(canaries.len());
    let mut list = List(Vec::new());
    let _ = side_by_side((threads, threads), None, work, &mut list)?;
    Ok(list.0)
}

/// Sightings in the order of canaries.
struct List(Vec<Sighting>);

impl Clerk for List {
    type Work = Result<Sighting, Lost>;
    type Kept = Sighting;
    type Error = Lost;

    fn keep(&mut self, sighting: Self::Work) -> Result<Sighting, Lost> {
        sighting
    }

    fn count(&mut self, sighting: Sighting) -> Result<ControlFlow<()>, Lost> {
        self.0.push(sighting);
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{check::Vocabulary, read::read};

    /// The first election breaks `zab.epochs`, if somebody looks.
    fn canary(laws: &str) -> Canary {
        let text = format!(
            "title = \"t\"\nduration = \"2s\"\n[cluster]\nsearch = 1\n[canary]\ndefect = \"zab-epoch-not-written\"\n\
             seed = 3\n[expect]\nlaws = [{laws}]\n"
        );
        let scenario = read("t", &text, &Vocabulary::current()).unwrap();
        Canary::of("t.toml", &scenario).unwrap()
    }

    fn alone() -> (Machine, NonZeroUsize) {
        (Machine::default(), NonZeroUsize::MIN)
    }

    #[test]
    fn canary_is_noticed_by_a_law_that_its_scenario_names() {
        let sightings = sightings(&[canary("\"zab.epochs\""), canary("")], &[], alone()).unwrap();
        assert!(
            sightings.iter().all(|sighting| sighting.law.as_deref() == Some("zab.epochs")),
            "{sightings:?}"
        );
        assert_eq!((sightings.len(), sightings[0].seed), (2, 3));
    }

    #[test]
    fn canary_that_no_law_of_its_scenario_sees_goes_unnoticed() {
        let blind = canary("\"zab.one-leader\"");
        let sightings = sightings(std::slice::from_ref(&blind), &[], alone()).unwrap();
        assert_eq!(sightings, [blind.unseen()]);
    }

    #[test]
    fn canary_that_was_noticed_before_is_not_run_again() {
        let never = Machine { run: |_, _| panic!("it is run"), run_wall_max: None };
        let (canary, law) = (canary(""), Some("zab.epochs".to_owned()));
        let before = [Sighting { law, ..canary.unseen() }];
        let sightings =
            sightings(std::slice::from_ref(&canary), &before, (never, NonZeroUsize::MIN)).unwrap();
        assert_eq!(sightings, before);
    }

    #[test]
    fn canary_of_sweeps_is_built_in() {
        assert_eq!(Canary::builtin().scenario, builtin::CANARY);
    }
}

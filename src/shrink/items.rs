//! Items — decides in which order faults, steps and requests are taken out: halves first, then ever smaller parts, as
//! delta debugging does (Zeller and Hildebrandt, TSE 2002). It never changes one.

use super::{
    Shrinking,
    oracle::{Candidate, keep},
};
use crate::scenario::format::Scenario;

/// A list of which items can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// Faults and administrative steps, as one list.
    Mishaps,
    /// What clients ask, of documents and of ZooKeeper, as one list.
    Operations,
}

/// Takes out what is not needed: the few that break things first, then the many that ask.
pub(super) fn fewer(shrinking: &mut Shrinking) {
    for list in [List::Mishaps, List::Operations] {
        minimise(shrinking, list);
    }
}

fn minimise(shrinking: &mut Shrinking, list: List) {
    let mut size = list.len(&shrinking.scenario).div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < list.len(&shrinking.scenario) {
            let whole = shrinking.scenario.clone();
            let Some(taken) = shrinking.step_at(list.without_each(&whole, start, size)) else { break };
            // What follows has moved up to the place of what is gone.
            start += taken * size;
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
}

impl List {
    fn len(self, scenario: &Scenario) -> usize {
        match self {
            Self::Mishaps => scenario.faults.len() + scenario.steps.len(),
            Self::Operations => scenario.operations.len() + scenario.zookeeper_operations.len(),
        }
    }

    /// Part after part of this size, from `start` on, taken out.
    fn without_each(
        self,
        scenario: &Scenario,
        start: usize,
        size: usize,
    ) -> impl Iterator<Item = Candidate> + '_ {
        let starts = (start..self.len(scenario)).step_by(size);
        starts.map(move |start| self.without(scenario, start..start + size))
    }

    fn without(self, scenario: &Scenario, part: std::ops::Range<usize>) -> Candidate {
        let mut smaller = scenario.clone();
        match self {
            Self::Mishaps => {
                let faults = scenario.faults.len();
                keep(&mut smaller.faults, |at| !part.contains(&at));
                keep(&mut smaller.steps, |at| !part.contains(&(faults + at)));
            }
            Self::Operations => {
                let documents = scenario.operations.len();
                keep(&mut smaller.operations, |at| !part.contains(&at));
                keep(&mut smaller.zookeeper_operations, |at| !part.contains(&(documents + at)));
            }
        }
        let gone = self.len(scenario) - self.len(&smaller);
        let noun = if self == Self::Mishaps { "faults and steps" } else { "operations" };
        Candidate { what: format!("{gone} of {} {noun} fewer", self.len(scenario)), scenario: smaller }
    }
}

//! The canaries of a sweep — decides what is said of one that no law noticed. It never decides which there are.

use super::{exit::Failure, source::command};
use crate::{
    sweep::{
        Sweep,
        canary::{Lost, Sighting, canaries, sightings},
    },
    trial::Machine,
};

/// Runs the canaries of a sweep; those that were noticed before are not run again.
///
/// # Errors
///
/// If one panicked, or took too long.
pub(super) fn watched(
    sweep: &Sweep,
    before: &[Sighting],
    machine: Machine,
) -> Result<Vec<Sighting>, Failure> {
    let canaries = canaries(sweep);
    sightings(&canaries, before, (machine, sweep.threads)).map_err(|Lost(canary, error)| {
        let again = again(&canary.scenario, canary.plan.seed, canary.defect.name());
        let text = format!("the canary of {}: {error}\n  again: {again}", canary.scenario);
        match error.is_given_up() {
            true => Failure::Unfinished(format!("error: {text}")),
            false => Failure::Internal(format!("internal error: {text}")),
        }
    })
}

/// What is wrong with a sweep that has a canary which no law noticed.
///
/// # Errors
///
/// Names each such canary, and the line that runs it again.
pub(super) fn all_noticed(sightings: &[Sighting]) -> Result<(), Failure> {
    let unseen: String = sightings.iter().filter(|sighting| sighting.law.is_none()).map(unnoticed).collect();
    match unseen.is_empty() {
        true => Ok(()),
        false => Err(Failure::Internal(unseen)),
    }
}

fn unnoticed(Sighting { scenario, defect, seed, .. }: &Sighting) -> String {
    let (defect, again) = (defect.name(), again(scenario, *seed, defect.name()));
    format!(
        "internal error: the canary of {scenario} passed: no law noticed the defect {defect}, so a pass of other runs \
         says nothing\n  again: {again}\n  the laws it is judged by are silent, or the scenario has changed and wants \
         another seed under [canary]\n"
    )
}

fn again(scenario: &str, seed: u64, defect: &str) -> String {
    command(scenario, seed, &[("defect".to_owned(), defect.to_owned())])
}

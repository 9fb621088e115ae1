//! Sense of the steps — decides whether each has one trigger and one deed that can be done. It never says
//! whether the cluster will agree to it.

use super::{
    Flaws, INDICES, index_meant, indices,
    place::Place,
    settings::{self, Use},
    work,
};
use crate::scenario::{format::Scenario, plan::Selector, reroute::Reroute, steps::Step};

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    for (at, step) in scenario.steps.iter().enumerate() {
        let place = Place { scenario, table: "steps", noun: "step", at };
        place.trigger(step.at, step.when.as_ref(), flaws);
        one_deed(&place, step, flaws);
        deed(&place, step, flaws);
        target(&place, step, flaws);
    }
}

fn one_deed(place: &Place<'_>, step: &Step, flaws: &mut Flaws) {
    let deeds = [
        ("update_cluster_settings", step.update_cluster_settings.is_some()),
        ("update_index_settings", step.update_index_settings.is_some()),
        ("create_index", step.create_index.is_some()),
        ("delete_index", step.delete_index.is_some()),
        ("drain", step.drain.is_some()),
        ("reroute", step.reroute.is_some()),
        ("corrupt_state", step.corrupt_state == Some(true)),
    ];
    let given: Vec<&str> = deeds.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            let help = "add a deed, such as `drain = \"search-1\"`";
            flaws.add(place.itself(), "the step does nothing", help);
        }
        [first, second, ..] => {
            let message = format!("the step does two things: `{first}` and `{second}`");
            flaws.add(place.path(second), message, "make two `[[steps]]` of it");
        }
    }
}

fn deed(place: &Place<'_>, step: &Step, flaws: &mut Flaws) {
    if let Some(values) = &step.update_cluster_settings {
        settings::of_cluster(&place.path("update_cluster_settings"), values, Use::Later, flaws);
    }
    if let Some(change) = &step.update_index_settings {
        known_index(place, "update_index_settings.index", &change.index, flaws);
        settings::of_index(
            &place.path("update_index_settings.settings"),
            &change.settings,
            Use::Later,
            flaws,
        );
    }
    if let Some(index) = &step.create_index {
        work::index(place.scenario, &place.path("create_index"), index, flaws);
    }
    if let Some(name) = &step.delete_index {
        known_index(place, "delete_index", name, flaws);
    }
    if let Some(orders) = &step.reroute {
        reroute(place, step, orders, flaws);
    }
}

fn reroute(place: &Place<'_>, step: &Step, orders: &Reroute, flaws: &mut Flaws) {
    if orders.commands.is_empty() && !orders.retry_failed && !orders.dry_run {
        let help = "add `commands = [{ move = { … } }]` or `retry_failed = true`";
        flaws.add(place.path("reroute"), "nothing is ordered", help);
    }
    for (nth, command) in orders.commands.iter().enumerate() {
        let (key, selectors) = command.selectors();
        let path = |part: &str| format!("reroute.commands.{nth}.{key}.{part}");
        place.known_shard(&path("index"), &path("shard"), &command.shard(), flaws);
        for (part, selector) in selectors {
            place.target(&path(part), selector, flaws);
            if *selector == Selector::EventHost && step.when.is_none() {
                let help = "name somebody else, or give the step `when`";
                flaws.add(place.path(&path(part)), "there is no event whose host could be meant", help);
            }
            if !selector.may_be_one_node() {
                let help = "name one search node, such as `search-1` or `primary(articles/0)`";
                flaws.add(place.path(&path(part)), format!("`{selector}` is not one search node"), help);
            }
        }
    }
}

fn known_index(place: &Place<'_>, key: &str, name: &str, flaws: &mut Flaws) {
    if !indices(place.scenario).any(|index| index.name == name) {
        let message = match name {
            "" => "the step names no index".into(),
            name => format!("there is no index `{name}`"),
        };
        flaws.add_if_read(INDICES, place.path(key), message, index_meant(place.scenario, name));
    }
}

fn target(place: &Place<'_>, step: &Step, flaws: &mut Flaws) {
    let selectors = [
        ("drain", step.drain.as_ref()),
        ("when.host", step.when.as_ref().and_then(|when| when.host.as_ref())),
    ];
    for (key, selector) in selectors {
        let Some(selector) = selector else { continue };
        place.target(key, selector, flaws);
        if *selector == Selector::EventHost && (step.when.is_none() || key == "when.host") {
            let help = "name somebody else, or give the step `when` without `host`";
            flaws.add(place.path(key), "there is no event whose host could be meant", help);
        }
    }
}

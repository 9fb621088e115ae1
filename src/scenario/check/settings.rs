//! Sense of settings — decides whether there are such settings, and whether they can be set there. It never says
//! what follows from them.

use super::Flaws;
use crate::{
    scenario::values::Values,
    search::settings::{Changes, Scope, Settings},
};

/// When settings are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// With what they belong to: any may be set.
    Before,
    /// Later: only dynamic ones may change.
    Later,
}

/// Settings of the cluster at this place of the file.
pub(super) fn of_cluster(place: &str, values: &Values, when: Use, flaws: &mut Flaws) {
    check(Scope::Cluster, place, values, when, flaws);
}

/// Settings of an index at this place of the file.
pub(super) fn of_index(place: &str, values: &Values, when: Use, flaws: &mut Flaws) {
    let values = values.of_index();
    let numbers = [("index.number_of_shards", "shards"), ("index.number_of_replicas", "replicas")];
    for (name, key) in numbers.iter().filter(|(name, _)| when == Use::Before && values.0.contains_key(*name))
    {
        let help = format!("write `{key}` beside the index's name");
        flaws.add(format!("{place}.{name}"), format!("`{name}` has a key of its own"), help);
    }
    check(Scope::Index, place, &values, when, flaws);
}

fn check(scope: Scope, place: &str, values: &Values, when: Use, flaws: &mut Flaws) {
    for (name, value) in values.changes() {
        let one = Changes::from([(name.clone(), value)]);
        if let Err(error) = Settings::default().change(scope, &one, when == Use::Later) {
            let help = "settings, values and messages are Elasticsearch's; `\"null\"` takes a setting back";
            flaws.add(format!("{place}.{name}"), error.reason, help);
        }
    }
}

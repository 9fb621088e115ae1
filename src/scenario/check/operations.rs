//! Sense of the operations — decides whether each listed request has somebody who asks it and somebody who is
//! asked. It never says what the answer will be.

use super::{Flaws, NODES, node_count};
use crate::{
    name::{HostId, HostKind},
    scenario::{
        duration,
        format::Scenario,
        operations::{Ask, OF_SEARCHES, OF_WRITES, Operation, REMEMBERED, stranger},
    },
};

/// The most operations of a scenario.
pub(super) const OPERATIONS_MAX: usize = 1_000_000;

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    let count = scenario.operations.len();
    if count > OPERATIONS_MAX {
        let message = format!("{count} operations");
        return flaws.add("operations", message, format!("at most {OPERATIONS_MAX}"));
    }
    let nodes = node_count(scenario);
    for (at, operation) in scenario.operations.iter().enumerate() {
        let listed = Listed { at, operation };
        listed.asker(scenario, flaws);
        listed.asked(nodes, flaws);
        listed.time(scenario, flaws);
        listed.arguments(flaws);
    }
    repeated(scenario, flaws);
}

/// One of the list.
struct Listed<'a> {
    at: usize,
    operation: &'a Operation,
}

impl Listed<'_> {
    fn path(&self, key: &str) -> String {
        format!("operations.{}.{key}", self.at)
    }

    /// The operator is the first client; those of workloads follow it.
    fn asker(&self, scenario: &Scenario, flaws: &mut Flaws) {
        let HostId { kind, number } = self.operation.client;
        let last = scenario.workloads.len() + 1;
        if kind == HostKind::Client && (2..=last).contains(&usize::from(number)) {
            return;
        }
        let message = format!("`{}` is not the client of a workload", self.operation.client);
        let help = match last {
            1 => "there is no `[[workloads]]`: the first has `client-2`".to_owned(),
            2 => "the only one is `client-2`".to_owned(),
            last => format!("they are `client-2` to `client-{last}`"),
        };
        flaws.add_if_read(&["workloads"], self.path("client"), message, help);
    }

    fn asked(&self, nodes: usize, flaws: &mut Flaws) {
        let HostId { kind, number } = self.operation.node;
        if kind != HostKind::Search || !(1..=nodes).contains(&usize::from(number)) {
            let message = format!("there is no search node `{}`", self.operation.node);
            flaws.add_if_read(NODES, self.path("node"), message, format!("`search-1` to `search-{nodes}`"));
        }
    }

    fn time(&self, scenario: &Scenario, flaws: &mut Flaws) {
        if self.operation.at >= scenario.duration {
            let message = "the operation is asked when the run is over";
            let help = format!("earlier than the end at {}", duration::show(scenario.duration));
            flaws.add_if_read(&["duration"], self.path("at"), message, help);
        }
        if self.operation.number > Operation::NUMBER_MAX {
            let message = format!("operation number {}", self.operation.number);
            flaws.add(self.path("number"), message, format!("at most {}", Operation::NUMBER_MAX));
        }
    }

    fn arguments(&self, flaws: &mut Flaws) {
        let Operation { ask, document, word, version, body, items, again, .. } = self.operation;
        let is_search = *ask == Ask::Search;
        if document.is_empty() && ask.names_a_document() {
            let help = "such as `document = \"doc-1\"`";
            flaws.add(self.path("ask"), "the operation names no document", help);
        }
        let extras = [
            ("document", !ask.names_a_document() && !document.is_empty(), "what is about one document"),
            ("word", !is_search && !word.is_empty(), "a search"),
            ("body", !is_search && !body.is_empty(), "a search"),
            ("items", !ask.is_several() && *items > 0, "`bulk` or `mget`"),
            ("again", *ask != Ask::Add && *again, "`add`"),
            ("version", !ask.is_versioned() && version.is_some(), "`external` or `external_gte`"),
        ];
        for (key, _, whose) in extras.into_iter().filter(|(_, is_odd, _)| *is_odd) {
            flaws.add(self.path(key), format!("`{key}` says something only of {whose}"), "take it out");
        }
        if ask.is_versioned() && version.is_none() {
            flaws.add(self.path("ask"), "the operation brings no version", "such as `version = 7`");
        }
        self.form(flaws);
    }

    /// How it is asked, beside what for.
    fn form(&self, flaws: &mut Flaws) {
        let Operation { ask, body, parameters, items, .. } = self.operation;
        if ask.is_several() && !(1..=Operation::ITEMS_MAX).contains(items) {
            let message = format!("{items} writes or gets in one request");
            flaws.add(self.path("items"), message, format!("1 to {}", Operation::ITEMS_MAX));
        }
        if !body.is_empty() && serde_json::from_str::<serde_json::Value>(body).is_err() {
            flaws.add(self.path("body"), "the body is no JSON", "such as `body = '{\"size\": 3}'`");
        }
        let taken = match ask {
            Ask::Search => OF_SEARCHES.to_vec(),
            Ask::Cas => [OF_WRITES, &[REMEMBERED]].concat(),
            ask if ask.writes() => OF_WRITES.to_vec(),
            _ => Vec::new(),
        };
        if let Some(stranger) = stranger(parameters, &taken) {
            let help = match &taken[..] {
                [] => "take it out".to_owned(),
                taken => format!("it takes {}", taken.join(", ")),
            };
            flaws.add(self.path("parameters"), format!("{ask:?} does not take `{stranger}`"), help);
        }
    }
}

/// Two requests of one client with one number would be taken for one.
fn repeated(scenario: &Scenario, flaws: &mut Flaws) {
    let mut seen = std::collections::BTreeSet::new();
    for (at, operation) in scenario.operations.iter().enumerate() {
        if !seen.insert((operation.client, operation.number)) {
            let message = format!("a second operation {} of `{}`", operation.number, operation.client);
            flaws.add(format!("operations.{at}.number"), message, "numbers of one client must differ");
        }
    }
    let drawn = |client: HostId| {
        let workload = usize::from(client.number).checked_sub(2).and_then(|nth| scenario.workloads.get(nth));
        let rates =
            workload.map(|one| [one.writes_per_second, one.reads_per_second, one.searches_per_second]);
        rates.is_some_and(|rates| rates.iter().any(|rate| *rate > 0.0))
    };
    if let Some(at) = scenario.operations.iter().position(|operation| drawn(operation.client)) {
        let message = "the workload of this client has a rate as well";
        let help = "take `writes_per_second` and the like out of it: numbers would meet";
        flaws.add(format!("operations.{at}.client"), message, help);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{
        check::Vocabulary,
        format::{Index, Workload},
    };

    fn paths(change: impl FnOnce(&mut Scenario)) -> Vec<String> {
        let operation = Operation {
            client: HostId::client(2),
            number: 0,
            at: Duration::from_secs(1),
            node: HostId::search(1),
            ask: Ask::Get,
            document: "a".into(),
            word: String::new(),
            version: None,
            body: String::new(),
            parameters: String::new(),
            items: 0,
            again: false,
        };
        let mut scenario = Scenario {
            title: "a".into(),
            duration: Duration::from_secs(10),
            indices: vec![Index { name: "articles".into(), ..Index::default() }],
            workloads: vec![Workload { index: "articles".into(), ..Workload::default() }],
            operations: vec![operation],
            ..Scenario::default()
        };
        change(&mut scenario);
        let flaws = crate::scenario::check::check(&scenario, &Vocabulary::default());
        flaws.into_iter().map(|flaw| flaw.path.replace("operations.0.", "")).collect()
    }

    #[test]
    fn listed_operation_of_an_idle_workload_is_sound() {
        assert_eq!(paths(|_| {}), [""; 0]);
    }

    #[test]
    fn each_thing_that_cannot_be_asked_is_named() {
        assert_eq!(paths(|one| one.operations[0].client = HostId::client(3)), ["client"]);
        assert_eq!(paths(|one| one.operations[0].client = HostId::search(2)), ["client"]);
        assert_eq!(paths(|one| one.operations[0].node = HostId::search(4)), ["node"]);
        assert_eq!(paths(|one| one.operations[0].at = Duration::from_secs(10)), ["at"]);
        assert_eq!(paths(|one| one.operations[0].document.clear()), ["ask"]);
        assert_eq!(paths(|one| one.operations[0].word = "x".into()), ["word"]);
        assert_eq!(paths(|one| one.operations[0].version = Some(1)), ["version"]);
        assert_eq!(paths(|one| one.operations[0].body = "{}".into()), ["body"]);
        assert_eq!(paths(|one| one.operations[0].items = 1), ["items"]);
        assert_eq!(paths(|one| one.operations[0].again = true), ["again"]);
        assert_eq!(paths(|one| one.operations[0].parameters = "refresh=true".into()), ["parameters"]);
        assert_eq!(paths(|one| one.operations[0].ask = Ask::Bulk), ["document", "items"]);
        assert_eq!(paths(|one| one.operations[0].ask = Ask::External), ["ask"]);
        assert_eq!(paths(|one| one.operations[0].number = u32::MAX), ["number"]);
        assert_eq!(paths(|one| one.operations.push(one.operations[0].clone())), ["operations.1.number"]);
        assert_eq!(paths(|one| one.workloads[0].reads_per_second = 1.0), ["client"]);
    }
}

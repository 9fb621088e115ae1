//! Sense of the fixed draws — decides whether each answers a question that there is, of somebody who is there, with
//! what can be drawn. It never knows whether it will be drawn.

use std::collections::BTreeSet;

use super::{CLIENTS, Flaws, NODES, SERVERS, client_count, node_count, server_count};
use crate::{
    name::{HostId, HostKind},
    scenario::{
        dice::{Entry, FixedDraw, Part, QUESTIONS, Unshowable},
        format::Scenario,
        nearest::suggestion,
    },
};

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    let mut seen = BTreeSet::new();
    for (at, fixed) in scenario.dice.iter().enumerate() {
        let path = |key: &str| format!("dice.{at}.{key}");
        let Some(question) = fixed.question() else {
            let message = format!("nothing is drawn by the key `{}`", fixed.key);
            let help = suggestion(&fixed.key, QUESTIONS.iter().map(|entry| entry.name));
            flaws.add(path("key"), message, help);
            continue;
        };
        if !seen.insert((&fixed.key, &fixed.at)) {
            flaws.add(path("at"), format!("a second value for {fixed}"), "take one out");
        }
        asked_with(scenario, at, fixed, question, flaws);
        shown(at, fixed, question, flaws);
    }
}

fn asked_with(scenario: &Scenario, at: usize, fixed: &FixedDraw, question: &Entry, flaws: &mut Flaws) {
    let path = format!("dice.{at}.at");
    if let Err(part) = question.hash(&fixed.at, std::hash::DefaultHasher::new()) {
        let parts: Vec<_> = question.parts.iter().map(|(name, noun)| format!("{name} ({noun})")).collect();
        let message = match (fixed.at.get(part), question.parts.get(part)) {
            (Some(found), Some((name, noun))) => format!("`{found}` is not {noun}, for `{name}`"),
            (None, Some((name, _))) => format!("`{name}` is missing"),
            _ => format!("{} parts", fixed.at.len()),
        };
        return flaws.add(path, message, format!("`{}` is asked with {}", question.name, parts.join(", ")));
    }
    for (part, (_, noun)) in fixed.at.iter().zip(question.parts) {
        let host = match part {
            Part::Text(text) if *noun == "a host" => text.parse::<HostId>().ok(),
            _ => None,
        };
        if let Some(host) = host {
            there(scenario, &path, host, flaws);
        }
    }
}

/// The administrator is the last of the clients, and none of those that are counted.
fn there(scenario: &Scenario, path: &str, host: HostId, flaws: &mut Flaws) {
    let (hinges_on, prefix, count) = match host.kind {
        HostKind::ZooKeeper => (SERVERS, "zk", server_count(scenario)),
        HostKind::Search => (NODES, "search", node_count(scenario)),
        HostKind::Client => (CLIENTS, "client", client_count(scenario) + 1),
    };
    if !(1..=count).contains(&usize::from(host.number)) {
        let help = if count == 0 {
            "there is none of its kind".into()
        } else {
            format!("at most `{prefix}-{count}`")
        };
        flaws.add_if_read(hinges_on, path, format!("there is no host `{host}`"), help);
    }
}

fn shown(at: usize, fixed: &FixedDraw, question: &Entry, flaws: &mut Flaws) {
    let path = format!("dice.{at}.value");
    match fixed.values(question) {
        Ok(values) if values.is_empty() => flaws.add(path, "no value", "at least one"),
        Ok(_) => {}
        Err(Unshowable::TooMany(most)) => {
            flaws.add(path, "more values than are drawn", format!("at most {most}"));
        }
        Err(Unshowable::NotOfKind(nth, kind)) => {
            let message = match nth {
                0 => format!("`{}` does not show this", question.name),
                nth => format!("`{}` does not show this as value {}", question.name, nth + 1),
            };
            flaws.add(path, message, format!("it is {kind}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{check::Vocabulary, read::read};

    /// What is said of a file with this fixed draw.
    fn said(dice: &str) -> String {
        let text = format!("title = \"a\"\nduration = \"9s\"\n[[dice]]\n{dice}\n");
        read("a", &text, &Vocabulary::default())
            .map_or_else(|problems| problems.to_string(), |_| String::new())
    }

    fn delay(at: &str, value: &str) -> String {
        said(&format!("key = \"net.delay\"\nat = {at}\nvalue = {value}"))
    }

    #[test]
    fn draw_that_there_is_can_be_fixed() {
        assert_eq!(delay("[\"zk-1\", \"search-3\", 17]", "\"3s\""), "");
        assert_eq!(said("key = \"disk.crash\"\nat = [\"zk-1\", 1, \"log\"]\nvalue = [2, 40]"), "");
    }

    #[test]
    fn unknown_key_is_told_with_the_nearest() {
        let text = said("key = \"net.dealy\"\nat = []\nvalue = 1");
        assert!(text.contains("nothing is drawn by the key `net.dealy`"), "{text}");
        assert!(text.contains("did you mean `net.delay`?"), "{text}");
    }

    #[test]
    fn key_that_fits_nobody_is_told() {
        for (at, what) in [
            ("[\"zk-1\", \"zk-2\"]", "`nth` is missing"),
            ("[\"zk-1\", \"zk-2\", 1, 2]", "4 parts"),
            ("[\"zk-1\", 2, 3]", "`2` is not a host, for `to`"),
            ("[\"zk-1\", \"zk-9\", 3]", "there is no host `zk-9`"),
        ] {
            let text = delay(at, "\"3s\"");
            assert!(text.contains(what), "{at}: {text}");
        }
        let twice = "key = \"start\"\nat = [\"zk-1\"]\nvalue = \"1s\"";
        assert!(said(&format!("{twice}\n[[dice]]\n{twice}")).contains("a second value for start of zk-1"));
    }

    #[test]
    fn value_that_is_not_drawn_there_is_told() {
        let at = "[\"zk-1\", \"zk-2\", 3]";
        for value in ["3", "true", "0.5", "\"soon\"", "\"900000h\""] {
            assert!(delay(at, value).contains("it is a span such as"), "{value}: {}", delay(at, value));
        }
        assert!(delay(at, "[\"1s\", \"2s\"]").contains("at most 1"));
        assert!(delay(at, "[]").contains("no value"));
        let crash = said("key = \"disk.crash\"\nat = [\"zk-1\", 1, \"log\"]\nvalue = 4");
        assert!(crash.contains("a number from 0 to 3"), "{crash}");
    }
}

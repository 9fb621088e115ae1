//! Sense of the recipes — decides whether clients that follow one have something to do. It never counts them.

use std::time::Duration;

use super::Flaws;
use crate::scenario::{format::Scenario, recipes::RecipeClients};

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    for (at, clients) in scenario.recipe_clients.iter().enumerate() {
        let path = |key: &str| format!("recipe_clients.{at}.{key}");
        numbers(clients, path, flaws);
        if clients.session_timeout < Duration::from_millis(1) {
            flaws.add(
                path("session_timeout"),
                "`session_timeout` is under a millisecond",
                "at least \"1ms\"",
            );
        }
        if clients.starts_at >= scenario.duration {
            let message = "the clients begin when the run is over";
            flaws.add_if_read(&["duration"], path("starts_at"), message, "earlier than `duration`");
        }
    }
}

fn numbers(clients: &RecipeClients, path: impl Fn(&str) -> String, flaws: &mut Flaws) {
    for (key, number) in [("count", u32::from(clients.count)), ("retained", clients.retained)] {
        if !(1..=10_000).contains(&number) {
            flaws.add(path(key), format!("`{key}` is {number}"), "1 to 10000");
        }
    }
    let rate = clients.actions_per_second;
    if !(0.0..=1_000.0).contains(&rate) {
        flaws.add(path("actions_per_second"), format!("a rate of {rate} a second"), "0 to 1000");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::check::{Vocabulary, check};

    fn paths(change: impl FnOnce(&mut RecipeClients)) -> Vec<String> {
        let mut clients = RecipeClients::default();
        change(&mut clients);
        let mut scenario =
            Scenario { title: "a".into(), duration: Duration::from_secs(10), ..Default::default() };
        scenario.recipe_clients = vec![clients];
        let flaws = check(&scenario, &Vocabulary::default());
        flaws.into_iter().map(|flaw| flaw.path.replace("recipe_clients.0.", "")).collect()
    }

    #[test]
    fn default_clients_are_sound() {
        assert_eq!(paths(|_| ()), [""; 0]);
    }

    #[test]
    fn nobody_endless_speed_and_late_starts_are_refused() {
        assert_eq!(paths(|clients| clients.count = 0), ["count"]);
        assert_eq!(paths(|clients| clients.retained = 0), ["retained"]);
        assert_eq!(paths(|clients| clients.actions_per_second = f64::INFINITY), ["actions_per_second"]);
        assert_eq!(paths(|clients| clients.session_timeout = Duration::ZERO), ["session_timeout"]);
        assert_eq!(paths(|clients| clients.starts_at = Duration::from_secs(10)), ["starts_at"]);
    }
}

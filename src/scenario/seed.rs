//! Seeds in scenario files — decides how a seed is written there. It never draws with one.
//!
//! TOML's whole numbers end at 2⁶³ − 1; a larger seed is written as text.

use serde::{Deserialize, Deserializer, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

/// Reads a seed that is there.
///
/// # Errors
///
/// If it is no whole number from 0 to 2⁶⁴ − 1.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let seed = match Written::deserialize(deserializer) {
        Ok(Written::Number(seed)) => Some(seed),
        Ok(Written::Text(text)) => text.parse().ok(),
        Err(_) => None,
    };
    let wrong = "not a seed\na whole number from 0 on, such as `seed = 7`";
    seed.map(Some).ok_or_else(|| serde::de::Error::custom(wrong))
}

/// Writes a seed, or nothing.
///
/// # Errors
///
/// If the serializer refuses.
pub fn serialize<S: Serializer>(seed: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seed {
        Some(seed) if i64::try_from(*seed).is_ok() => serializer.serialize_u64(*seed),
        Some(seed) => serializer.collect_str(seed),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::format::Scenario;

    #[test]
    fn every_seed_round_trips() {
        for seed in [0, 7, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
            let scenario = Scenario { seed: Some(seed), ..Scenario::default() };
            let text = toml::to_string(&scenario).unwrap();
            assert_eq!(toml::from_str::<Scenario>(&text).unwrap().seed, Some(seed), "{text}");
        }
    }

    #[test]
    fn negative_seed_is_told_what_one_is() {
        let error = toml::from_str::<Scenario>("seed = -1").unwrap_err();
        assert!(error.message().contains("`seed = 7`"), "{error}");
    }
}

//! Settings in scenario files — decides how Elasticsearch's settings are written there. It never says which there
//! are; `search::settings` does.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess},
};

/// The value that takes a setting back: TOML has no null.
pub const UNSET: &str = "null";

/// Settings by name, each with the text of its value.
///
/// Names may be quoted as a whole or written with dots, which TOML takes for nested tables; values may be text, numbers,
/// truth values and lists of them, as in Elasticsearch's JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Values(pub BTreeMap<String, String>);

impl Values {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a change: none for a setting that is taken back.
    pub fn changes(&self) -> BTreeMap<String, Option<String>> {
        let value = |value: &String| (value != UNSET).then(|| value.clone());
        self.0.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    /// The same with `index.` before every name that lacks it, as Elasticsearch reads settings of an index.
    pub fn of_index(&self) -> Self {
        let full = |name: &str| match name.starts_with("index.") {
            true => name.to_owned(),
            false => format!("index.{name}"),
        };
        Self(self.0.iter().map(|(name, value)| (full(name), value.clone())).collect())
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(AnyVisitor)? {
            Any::Table(entries) => Ok(Self(flat(entries))),
            Any::Text(_) => {
                Err(de::Error::custom("not a table of settings\nsuch as `{ \"a.name\" = \"a value\" }`"))
            }
        }
    }
}

/// A value, or a table of them.
enum Any {
    Text(String),
    Table(BTreeMap<String, Any>),
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

fn flat(entries: BTreeMap<String, Any>) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for (name, entry) in entries {
        match entry {
            Any::Text(text) => drop(named.insert(name, text)),
            Any::Table(inner) => {
                named.extend(flat(inner).into_iter().map(|(rest, text)| (format!("{name}.{rest}"), text)));
            }
        }
    }
    named
}

struct AnyVisitor;

impl<'de> de::Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true or false, a list of these, or a table")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
        Ok(Any::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
        Ok(Any::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
        Ok(Any::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
        Ok(Any::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Any, E> {
        Ok(Any::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Any, A::Error> {
        let mut words = Vec::new();
        while let Some(item) = list.next_element::<Any>()? {
            match item {
                Any::Text(text) => words.push(text),
                Any::Table(_) => return Err(de::Error::custom("a setting is no list of tables")),
            }
        }
        Ok(Any::Text(words.join(",")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            entries.insert(name, value);
        }
        Ok(Any::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Values, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn quoted_and_dotted_names_are_the_same() {
        let quoted = read("\"cluster.routing.allocation.enable\" = \"none\"").unwrap();
        assert_eq!(read("cluster.routing.allocation.enable = \"none\"").unwrap(), quoted);
        assert_eq!(quoted.0["cluster.routing.allocation.enable"], "none");
    }

    #[test]
    fn values_are_kept_as_text() {
        let values = read("a = 3\nb = true\nc = 0.5\nd = [\"x\", \"y\"]\ne = \"null\"").unwrap();
        let texts: Vec<&str> = values.0.values().map(String::as_str).collect();
        assert_eq!(texts, ["3", "true", "0.5", "x,y", "null"]);
        assert_eq!(values.changes()["e"], None);
        assert_eq!(values.changes()["a"].as_deref(), Some("3"));
    }

    #[test]
    fn name_of_an_index_setting_may_lack_its_prefix() {
        let values = read("refresh_interval = \"2s\"\n\"index.gc_deletes\" = \"1s\"").unwrap().of_index();
        let names: Vec<&str> = values.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["index.gc_deletes", "index.refresh_interval"]);
    }

    #[test]
    fn list_of_tables_is_refused() {
        assert!(read("a = [{ b = 1 }]").is_err());
    }
}

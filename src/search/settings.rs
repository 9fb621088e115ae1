//! Settings — decides which cluster and index settings there are, what values they take, and which may
//! change while they are used. It never says what follows from a value.
//!
//! Names, defaults and messages are Elasticsearch 8's (`ClusterSettings`, `IndexScopedSettings`,
//! `AbstractScopedSettings`). A value is kept as the text that was given, as there: what is set is told from
//! what only has a default.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::api::ApiError;
use crate::{event::Digest, name::IndexName};

mod table;
pub(in crate::search) mod value;

pub use self::table::{CLUSTER, INDEX};
pub use self::value::{Watermark, bytes, duration};

/// What a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole cluster.
    Cluster,
    /// One index.
    Index,
}

/// Whether a setting may change while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// At any time.
    Dynamic,
    /// Only when the index is made, or the process starts.
    Static,
    /// Never after the index is made.
    Final,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number, at least and at most these.
    Integer(i64, i64),
    /// A decimal number, at least this.
    Decimal(f64),
    /// `true` or `false`.
    Bool,
    /// A time span, such as `30s`; `-1` if it may be switched off.
    Span {
        /// Whether `-1` is a value.
        off: bool,
    },
    /// A number of bytes, such as `40mb`.
    Bytes,
    /// A share of a disk (`85%`, `0.85`) or the bytes that must be free.
    Watermark,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Words with commas between.
    List,
    /// `all`, or a whole number that is not negative.
    ActiveShards,
    /// Anything.
    Text,
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Its name; one that ends in `.*` stands for every name that begins so.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value that holds where none is set.
    pub default: &'static str,
    /// Whether it may change.
    pub change: Change,
}

impl Setting {
    fn is(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => self.name == name,
        }
    }
}

/// The setting of this name.
pub fn named(scope: Scope, name: &str) -> Option<&'static Setting> {
    table(scope).iter().find(|setting| setting.is(name))
}

fn table(scope: Scope) -> &'static [Setting] {
    match scope {
        Scope::Cluster => CLUSTER,
        Scope::Index => INDEX,
    }
}

/// Settings that are set, of one scope, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, String>);

/// A change of settings: a value, or none to go back to the default.
pub type Changes = BTreeMap<String, Option<String>>;

impl Settings {
    /// Changes what is set; nothing, if any part of the change is wrong. `name.*` with no value takes back
    /// every setting that begins so. `made`: whether the index or cluster is in use already, so that
    /// only dynamic settings may change.
    ///
    /// # Errors
    ///
    /// 400 `illegal_argument_exception` if a setting is unknown, a value is out of range, or the setting
    /// cannot change any more.
    pub fn change(&mut self, scope: Scope, changes: &Changes, made: bool) -> Result<(), ApiError> {
        let mut next = self.clone();
        for (name, value) in changes {
            match (name.strip_suffix('*'), value) {
                (Some(prefix), None) => next.0.retain(|held, _| !held.starts_with(prefix)),
                _ => next.change_one(scope, name, value.as_deref(), made)?,
            }
        }
        *self = next;
        Ok(())
    }

    fn change_one(
        &mut self,
        scope: Scope,
        name: &str,
        value: Option<&str>,
        made: bool,
    ) -> Result<(), ApiError> {
        let setting = named(scope, name).ok_or_else(|| unknown(scope, name))?;
        if made && setting.change != Change::Dynamic {
            return Err(refused(fixed(scope, setting.change, name)));
        }
        let Some(value) = value else {
            self.0.remove(name);
            return Ok(());
        };
        value::check(setting.kind, value)
            .map_err(|why| refused(format!("Failed to parse value [{value}] for setting [{name}]{why}")))?;
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// What is set under this name, if anything.
    pub fn set(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What holds: what is set, or the default.
    ///
    /// # Panics
    ///
    /// If no such setting exists.
    pub fn text(&self, scope: Scope, name: &str) -> &str {
        let default = || {
            let setting = named(scope, name);
            setting.unwrap_or_else(|| panic!("{name} is in the table of settings")).default
        };
        self.set(name).unwrap_or_else(default)
    }

    /// A whole number.
    pub fn integer(&self, scope: Scope, name: &str) -> i64 {
        self.text(scope, name).parse().unwrap_or_default()
    }

    /// A decimal number.
    pub fn decimal(&self, scope: Scope, name: &str) -> f64 {
        self.text(scope, name).parse().unwrap_or_default()
    }

    /// A truth value.
    pub fn flag(&self, scope: Scope, name: &str) -> bool {
        self.text(scope, name) == "true"
    }

    /// A time span; none if it is switched off (`-1`).
    pub fn span(&self, scope: Scope, name: &str) -> Option<Duration> {
        value::duration(self.text(scope, name))
    }

    /// Words with commas between.
    pub fn list(&self, scope: Scope, name: &str) -> Vec<&str> {
        value::words(self.text(scope, name)).collect()
    }

    /// What is set below a prefix: the rest of the name, and the value.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        let from = self.0.range(prefix.to_owned()..);
        from.map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

/// All settings that are set in a cluster, as one znode holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SettingsDocument {
    /// One more with each change; 0: nothing was ever set.
    pub version: u64,
    /// Of the cluster.
    pub cluster: Settings,
    /// Of each index that has any.
    pub indices: BTreeMap<IndexName, Settings>,
}

impl SettingsDocument {
    /// The document as it stands in its znode: JSON, so that people can read it there.
    pub fn to_bytes(&self) -> Arc<[u8]> {
        let bytes = serde_json::to_vec(self);
        bytes.unwrap_or_else(|error| unreachable!("settings can be written down: {error}")).into()
    }

    /// The document in a znode's data: the empty one if none was written yet, none if it cannot be read.
    pub fn from_bytes(data: Option<&[u8]>) -> Option<Self> {
        match data {
            None | Some([]) => Some(Self::default()),
            Some(bytes) => serde_json::from_slice(bytes).ok(),
        }
    }

    /// The document, hashed: enough to tell two apart.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The settings of an index.
    pub fn of_index(&self, index: &IndexName) -> &Settings {
        static NONE: Settings = Settings(BTreeMap::new());
        self.indices.get(index).unwrap_or(&NONE)
    }
}

fn unknown(scope: Scope, name: &str) -> ApiError {
    let near = table(scope).iter().map(|setting| (strsim::levenshtein(setting.name, name), setting.name));
    // Lucene's `LevenshteinDistance`, which Elasticsearch uses here, is a share of the longer name: 0.7 of it.
    let near = near.min().filter(|(distance, near)| distance * 10 <= near.len().max(name.len()) * 3);
    let hint = near.map_or_else(
        || {
            "please check that any required plugins are installed, or check the breaking changes documentation \
             for removed settings"
                .to_owned()
        },
        |(_, near)| format!("did you mean [{near}]?"),
    );
    refused(format!("unknown setting [{name}] {hint}"))
}

fn fixed(scope: Scope, change: Change, name: &str) -> String {
    match (scope, change) {
        (Scope::Index, Change::Final) => format!("final index setting [{name}], not updateable"),
        (Scope::Index, _) => format!("Can't update non dynamic settings [[{name}]] for open indices"),
        (Scope::Cluster, _) => format!("persistent setting [{name}], not dynamically updateable"),
    }
}

fn refused(reason: String) -> ApiError {
    ApiError { status: 400, kind: "illegal_argument_exception".into(), reason, certain: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(pairs: &[(&str, Option<&str>)]) -> Changes {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    fn reason(scope: Scope, made: bool, name: &str, value: &str) -> String {
        let error = Settings::default().change(scope, &changes(&[(name, Some(value))]), made).unwrap_err();
        assert_eq!((error.status, &*error.kind), (400, "illegal_argument_exception"));
        error.reason
    }

    #[test]
    fn every_default_is_a_value_and_every_name_is_used_once() {
        for scope in [Scope::Cluster, Scope::Index] {
            for setting in table(scope) {
                let default = setting.default;
                assert_eq!(value::check(setting.kind, default), Ok(()), "{} = {default}", setting.name);
                assert_eq!(table(scope).iter().filter(|other| other.name == setting.name).count(), 1);
            }
        }
    }

    #[test]
    fn change_is_all_or_nothing() {
        let mut settings = Settings::default();
        let wrong =
            changes(&[("index.refresh_interval", Some("2s")), ("index.number_of_replicas", Some("-1"))]);
        assert!(settings.change(Scope::Index, &wrong, true).is_err());
        assert_eq!(settings, Settings::default());
        settings.change(Scope::Index, &changes(&[("index.refresh_interval", Some("2s"))]), true).unwrap();
        assert_eq!(settings.span(Scope::Index, "index.refresh_interval"), Some(Duration::from_secs(2)));
        settings.change(Scope::Index, &changes(&[("index.refresh_interval", None)]), true).unwrap();
        assert_eq!(settings.span(Scope::Index, "index.refresh_interval"), Some(Duration::from_secs(1)));
    }

    #[test]
    fn wildcard_takes_back_all_below() {
        let mut settings = Settings::default();
        let set = [("cluster.routing.allocation.exclude._name", Some("search-1"))];
        settings.change(Scope::Cluster, &changes(&set), true).unwrap();
        let below = |settings: &Settings| {
            settings.below("cluster.routing.allocation.exclude.").map(|(name, _)| name.to_owned()).next()
        };
        assert_eq!(below(&settings).as_deref(), Some("_name"));
        let back = [("cluster.routing.*", None)];
        settings.change(Scope::Cluster, &changes(&back), true).unwrap();
        assert_eq!(below(&settings), None);
    }

    #[test]
    fn mistakes_are_told_as_elasticsearch_tells_them() {
        use Scope::{Cluster, Index};
        assert_eq!(
            reason(Index, true, "index.number_of_replica", "1"),
            "unknown setting [index.number_of_replica] did you mean [index.number_of_replicas]?"
        );
        assert!(reason(Cluster, true, "nonsense", "1").ends_with("documentation for removed settings"));
        assert_eq!(
            reason(Index, true, "index.number_of_replicas", "-1"),
            "Failed to parse value [-1] for setting [index.number_of_replicas] must be >= 0"
        );
        assert_eq!(
            reason(Index, true, "index.number_of_shards", "2"),
            "final index setting [index.number_of_shards], not updateable"
        );
        assert_eq!(
            reason(Cluster, true, "cluster.routing.allocation.enable", "some"),
            "Failed to parse value [some] for setting [cluster.routing.allocation.enable] must be one of [all, \
             primaries, new_primaries, none]"
        );
    }
}

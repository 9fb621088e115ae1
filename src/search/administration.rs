//! Administration — decides what a cluster state becomes when an administrator makes, changes or deletes
//! something, or why it does not. It never decides when that is written.
//!
//! The controller is the only one who changes settings through the API: it writes the document of settings, the
//! state that follows from it and the notices in one multi, so that none of them is ever without the others. The
//! document is a znode of its own all the same, changed by compare-and-set: what somebody else writes there
//! in the right order is taken over with the next state.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    allocation::reroute::Orders,
    api::ApiError,
    settings::{Changes, Scope, Settings, SettingsDocument},
    state::ClusterState,
};
use crate::name::{IndexName, IndexUuid};

/// Most bytes that a state may take in its znode, so that it fits with settings and notices into one multi below
/// `jute.maxbuffer` (1 MiB − 1): ZooKeeper hangs up on what is longer.
pub const STATE_BYTES_MAX: usize = 900_000;

/// What a copy takes in a state at the most, its home included, when it is assigned, moves and has failed.
const COPY_BYTES_MAX: usize = 64;

/// What an administrator wants changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminTask {
    /// An index.
    CreateIndex {
        /// Its name.
        index: IndexName,
        /// Its identity: who asks draws it, so that a task that is told twice makes one index.
        uuid: IndexUuid,
        /// Its settings.
        settings: BTreeMap<String, String>,
    },
    /// An index less.
    DeleteIndex {
        /// Which.
        index: IndexName,
    },
    /// Settings of an index.
    IndexSettings {
        /// Which.
        index: IndexName,
        /// What to set, or to take back.
        changes: Changes,
        /// Whether what is set already stays.
        preserve_existing: bool,
    },
    /// Settings of the cluster.
    ClusterSettings {
        /// What to set, or to take back.
        changes: Changes,
    },
    /// Where copies go.
    Reroute(Orders),
}

impl AdminTask {
    /// What it is called, as in Elasticsearch's list of pending tasks.
    pub fn source(&self) -> String {
        match self {
            Self::CreateIndex { index, .. } => format!("create-index [{index}]"),
            Self::DeleteIndex { index } => format!("delete-index [{index}]"),
            Self::IndexSettings { index, .. } => format!("update-settings [{index}]"),
            Self::ClusterSettings { .. } => "cluster_update_settings".to_owned(),
            Self::Reroute(_) => "cluster_reroute (api)".to_owned(),
        }
    }

    /// The index it makes, and the one it deletes.
    pub fn makes_and_deletes(&self) -> (Option<&IndexName>, Option<&IndexName>) {
        match self {
            Self::CreateIndex { index, .. } => (Some(index), None),
            Self::DeleteIndex { index } => (None, Some(index)),
            _ => (None, None),
        }
    }
}

impl ClusterState {
    /// Carries a task out, as a whole or not at all; reroute commands take more than the state
    /// (`allocation::reroute`), and are refused here.
    ///
    /// # Errors
    ///
    /// As Elasticsearch has them: 400 for what is malformed or taken, 403 for what is blocked, 404 for what is not
    /// there.
    pub fn carry_out(&mut self, task: &AdminTask) -> Result<(), ApiError> {
        match task {
            AdminTask::CreateIndex { index, uuid, settings } => self.create(index, *uuid, settings),
            AdminTask::DeleteIndex { index } => self.delete(index),
            AdminTask::IndexSettings { index, changes, preserve_existing } => {
                self.change_index(index, changes, *preserve_existing)
            }
            AdminTask::ClusterSettings { changes } => self.change_cluster(changes),
            AdminTask::Reroute(_) => Err(ApiError::illegal("reroute commands go by what allocation goes by")),
        }
    }

    /// Takes over a newer document of settings; true if that changes anything.
    pub fn adopt(&mut self, document: &Arc<SettingsDocument>) -> bool {
        if document.version <= self.settings.version {
            return false;
        }
        self.settings = document.clone();
        let replicas = |(index, settings): (&IndexName, &Settings)| {
            let set = settings.set("index.number_of_replicas")?.parse().ok()?;
            self.indices.get(index).filter(|metadata| metadata.replicas != set).map(|_| (index.clone(), set))
        };
        for (index, replicas) in document.indices.iter().filter_map(replicas).collect::<Vec<_>>() {
            self.set_replicas(&index, replicas);
        }
        true
    }

    fn create(
        &mut self,
        index: &IndexName,
        uuid: IndexUuid,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        if self.indices.get(index).is_some_and(|there| there.uuid == uuid) {
            return Ok(());
        }
        let changes = settings.iter().map(|(name, value)| (prefixed(name), Some(value.clone()))).collect();
        let mut chosen = Settings::default();
        chosen.change(Scope::Index, &changes, false)?;
        let number = |name| chosen.integer(Scope::Index, name) as u32;
        let (shards, replicas) = (number("index.number_of_shards"), number("index.number_of_replicas"));
        let routing =
            chosen.set("index.number_of_routing_shards").map(|_| number("index.number_of_routing_shards"));
        if let Some(routing) = routing.filter(|routing| !routing.is_multiple_of(shards)) {
            let why = format!("the number of source shards [{shards}] must be a factor of [{routing}]");
            return Err(refused(400, "illegal_argument_exception", why));
        }
        let before = self.clone();
        self.create_index(index, shards, replicas)?;
        if let Some(metadata) = self.indices.get_mut(index) {
            metadata.uuid = uuid;
            metadata.routing_shards = routing.unwrap_or(metadata.routing_shards);
            let begins = self.graveyard.remove(index).unwrap_or_default();
            metadata.shards.iter_mut().for_each(|table| table.term = begins);
        }
        chosen.0.retain(|name, _| !name.starts_with("index.number_of_"));
        if !chosen.0.is_empty() {
            self.document(|document| _ = document.indices.insert(index.clone(), chosen));
        }
        self.has_room().inspect_err(|_| *self = before)
    }

    /// Whether the state still fits into its znode when every copy is where it takes the most.
    fn has_room(&self) -> Result<(), ApiError> {
        let bytes = self.to_bytes().len() + self.configured_copies() as usize * COPY_BYTES_MAX;
        if bytes <= STATE_BYTES_MAX {
            return Ok(());
        }
        let why = format!(
            "this action may make the cluster state [{bytes}] bytes long, but its znode has room for [{STATE_BYTES_MAX}]"
        );
        Err(refused(400, "validation_exception", why))
    }

    fn delete(&mut self, index: &IndexName) -> Result<(), ApiError> {
        self.settings_of(index, &Changes::new())?;
        self.delete_index(index);
        if self.settings.indices.contains_key(index) {
            self.document(|document| _ = document.indices.remove(index));
        }
        Ok(())
    }

    fn change_index(
        &mut self,
        index: &IndexName,
        changes: &Changes,
        preserve_existing: bool,
    ) -> Result<(), ApiError> {
        let changes: Changes = changes.iter().map(|(name, value)| (prefixed(name), value.clone())).collect();
        let former = self.settings_of(index, &changes)?;
        let is_kept = |name: &String| {
            preserve_existing && (former.set(name).is_some() || name == "index.number_of_replicas")
        };
        let changes: Changes = changes.into_iter().filter(|(name, _)| !is_kept(name)).collect();
        let mut settings = former.clone();
        settings.change(Scope::Index, &changes, true)?;
        let before = self.clone();
        if changes.contains_key("index.number_of_replicas") {
            self.set_replicas(index, settings.integer(Scope::Index, "index.number_of_replicas") as u32);
        }
        if settings != former {
            self.document(|document| match settings.0.is_empty() {
                true => _ = document.indices.remove(index),
                false => _ = document.indices.insert(index.clone(), settings),
            });
        }
        self.has_room().inspect_err(|_| *self = before)
    }

    fn change_cluster(&mut self, changes: &Changes) -> Result<(), ApiError> {
        if changes.is_empty() {
            let why = "Validation Failed: 1: no settings to update;".to_owned();
            return Err(refused(400, "action_request_validation_exception", why));
        }
        let mut settings = self.settings.cluster.clone();
        settings.change(Scope::Cluster, changes, true)?;
        if settings != self.settings.cluster {
            self.document(|document| document.cluster = settings);
        }
        Ok(())
    }

    /// The settings of an index that these changes may be made to.
    fn settings_of(&self, index: &IndexName, changes: &Changes) -> Result<Settings, ApiError> {
        if !self.indices.contains_key(index) {
            return Err(ApiError::no_index(index));
        }
        let settings = self.settings.of_index(index);
        let unblocks = !changes.is_empty() && changes.keys().all(|name| name.starts_with("index.blocks."));
        let blocks = [("read_only", 5, "read-only"), ("metadata", 9, "metadata")];
        for (block, id, text) in blocks.into_iter().filter(|_| !unblocks) {
            if settings.set(&format!("index.blocks.{block}")) == Some("true") {
                let why = format!("index [{index}] blocked by: [FORBIDDEN/{id}/index {text} (api)];");
                return Err(refused(403, "cluster_block_exception", why));
            }
        }
        Ok(settings.clone())
    }

    /// Changes the document of settings: its next version.
    fn document(&mut self, change: impl FnOnce(&mut SettingsDocument)) {
        let document = Arc::make_mut(&mut self.settings);
        change(document);
        document.version += 1;
    }
}

/// The name of an index's setting may leave out its prefix.
fn prefixed(name: &str) -> String {
    if name.starts_with("index.") { name.to_owned() } else { format!("index.{name}") }
}

fn refused(status: u16, kind: &'static str, reason: String) -> ApiError {
    ApiError { status, kind: kind.into(), reason, certain: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::Term,
        search::fixture::{copy, state, table},
    };

    fn create(index: &str, uuid: u64, settings: &[(&str, &str)]) -> AdminTask {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        AdminTask::CreateIndex { index: index.into(), uuid: IndexUuid(uuid), settings: settings.collect() }
    }

    fn change(name: &str, value: Option<&str>) -> AdminTask {
        let changes = [(name.to_owned(), value.map(str::to_owned))].into();
        AdminTask::IndexSettings { index: "articles".into(), changes, preserve_existing: false }
    }

    fn articles() -> ClusterState {
        use crate::event::CopyState::Started;
        state(1, vec![table(vec![copy(1, 1, true, Started), copy(2, 2, false, Started)])])
    }

    fn refusal(state: &mut ClusterState, task: &AdminTask) -> (u16, String, String) {
        let before = state.clone();
        let error = state.carry_out(task).unwrap_err();
        assert_eq!(*state, before, "nothing is half applied");
        (error.status, error.kind.into_owned(), error.reason)
    }

    #[test]
    fn index_is_made_with_its_settings() {
        let mut state = articles();
        let settings =
            [("number_of_shards", "4"), ("index.number_of_replicas", "0"), ("refresh_interval", "5s")];
        state.carry_out(&create("books", 7, &settings)).unwrap();
        let index = &state.indices[&"books".into()];
        assert_eq!((index.shards.len(), index.replicas, index.uuid), (4, 0, IndexUuid(7)));
        let settings = state.settings.of_index(&"books".into());
        assert_eq!((settings.set("index.refresh_interval"), settings.0.len()), (Some("5s"), 1));
        assert_eq!(state.settings.version, 1);
    }

    #[test]
    fn routing_shards_must_be_a_multiple_of_the_shards() {
        let mut state = articles();
        let settings = [("number_of_shards", "3"), ("number_of_routing_shards", "7")];
        let (status, kind, reason) = refusal(&mut state, &create("books", 7, &settings));
        assert_eq!((status, &*kind), (400, "illegal_argument_exception"));
        assert_eq!(reason, "the number of source shards [3] must be a factor of [7]");
    }

    /// SEARCH-DEFECTS C11: an index of the same name is another one; a wish that is told twice is one.
    #[test]
    fn index_of_the_same_name_is_told_apart_by_its_uuid() {
        let mut state = articles();
        state.carry_out(&create("books", 7, &[])).unwrap();
        let made = state.clone();
        state.carry_out(&create("books", 7, &[])).unwrap();
        assert_eq!(state, made);
        assert_eq!(refusal(&mut state, &create("books", 8, &[])).1, "resource_already_exists_exception");
        state.indices.get_mut(&"books".into()).unwrap().shards[0].term = Term(3);
        state.carry_out(&AdminTask::DeleteIndex { index: "books".into() }).unwrap();
        state.carry_out(&create("books", 8, &[])).unwrap();
        let again = &state.indices[&"books".into()];
        assert_eq!(
            (again.uuid, again.shards[0].term),
            (IndexUuid(8), Term(3)),
            "its first primary has term 4"
        );
    }

    #[test]
    fn deleted_index_takes_its_settings_with_it() {
        let mut state = articles();
        state.carry_out(&change("refresh_interval", Some("2s"))).unwrap();
        state.carry_out(&AdminTask::DeleteIndex { index: "articles".into() }).unwrap();
        assert!(state.indices.is_empty() && state.settings.indices.is_empty());
        assert_eq!(state.settings.version, 2);
        let gone = AdminTask::DeleteIndex { index: "articles".into() };
        assert_eq!(refusal(&mut state, &gone).0, 404);
    }

    #[test]
    fn replicas_follow_their_setting() {
        let mut state = articles();
        state.carry_out(&change("number_of_replicas", Some("2"))).unwrap();
        assert_eq!(state.indices[&"articles".into()].replicas, 2);
        assert_eq!(state.indices[&"articles".into()].shards[0].copies.len(), 3);
        state.carry_out(&change("number_of_replicas", None)).unwrap();
        assert_eq!(state.indices[&"articles".into()].replicas, 1, "the default");
    }

    #[test]
    fn existing_settings_are_preserved_if_asked() {
        let mut state = articles();
        state.carry_out(&change("refresh_interval", Some("2s"))).unwrap();
        let changes =
            ["refresh_interval", "gc_deletes"].map(|name| (name.to_owned(), Some("9s".to_owned()))).into();
        let task = AdminTask::IndexSettings { index: "articles".into(), changes, preserve_existing: true };
        state.carry_out(&task).unwrap();
        let settings = state.settings.of_index(&"articles".into());
        assert_eq!(settings.set("index.refresh_interval"), Some("2s"));
        assert_eq!(settings.set("index.gc_deletes"), Some("9s"));
    }

    #[test]
    fn wrong_setting_changes_nothing() {
        let mut state = articles();
        let wrong = [
            (
                change("number_of_shards", Some("2")),
                "final index setting [index.number_of_shards], not updateable",
            ),
            (change("refresh_interval", Some("soon")), "Failed to parse value [soon] for setting"),
            (
                change("refresh_intervall", Some("1s")),
                "unknown setting [index.refresh_intervall] did you mean",
            ),
        ];
        for (task, expected) in wrong {
            let (status, kind, reason) = refusal(&mut state, &task);
            assert_eq!((status, &*kind), (400, "illegal_argument_exception"));
            assert!(reason.starts_with(expected), "{reason}");
        }
        let nothing = AdminTask::ClusterSettings { changes: Changes::new() };
        assert_eq!(refusal(&mut state, &nothing).1, "action_request_validation_exception");
    }

    #[test]
    fn blocked_index_is_neither_changed_nor_deleted_until_it_is_unblocked() {
        let mut state = articles();
        state.carry_out(&change("blocks.read_only", Some("true"))).unwrap();
        for task in
            [change("refresh_interval", Some("2s")), AdminTask::DeleteIndex { index: "articles".into() }]
        {
            let (status, kind, reason) = refusal(&mut state, &task);
            assert_eq!((status, &*kind), (403, "cluster_block_exception"));
            assert_eq!(reason, "index [articles] blocked by: [FORBIDDEN/5/index read-only (api)];");
        }
        state.carry_out(&change("blocks.read_only", None)).unwrap();
        state.carry_out(&change("refresh_interval", Some("2s"))).unwrap();
    }

    /// jute.maxbuffer: ZooKeeper would hang up on the write, again and again.
    #[test]
    fn index_that_would_not_fit_into_the_znode_is_refused() {
        let mut state = articles();
        let shards = [("number_of_shards", "1024"), ("number_of_replicas", "2")];
        let made =
            (0..9).take_while(|nth| state.carry_out(&create(&format!("i{nth}"), *nth, &shards)).is_ok());
        assert_eq!(made.count(), 0, "3 nodes may have 3000 copies");
        state.nodes = (1..=90)
            .map(|number| (crate::name::HostId::search(number), state.nodes.values().next().unwrap().clone()))
            .collect();
        let made =
            (0..9).take_while(|nth| state.carry_out(&create(&format!("i{nth}"), *nth, &shards)).is_ok());
        let made = made.count();
        assert!((2..9).contains(&made), "{made}");
        let (status, kind, reason) = refusal(&mut state, &create("last", 99, &shards));
        assert_eq!((status, &*kind), (400, "validation_exception"));
        assert!(reason.ends_with("its znode has room for [900000]"), "{reason}");
    }

    #[test]
    fn document_that_somebody_else_wrote_is_taken_over_if_newer() {
        let mut state = articles();
        let settings = Settings([("index.number_of_replicas".to_owned(), "0".to_owned())].into());
        let document = |version| {
            let indices = [("articles".into(), settings.clone())].into();
            Arc::new(SettingsDocument { version, cluster: Settings::default(), indices })
        };
        assert!(!state.adopt(&document(0)));
        assert!(state.adopt(&document(1)));
        assert_eq!(state.indices[&"articles".into()].replicas, 0);
    }
}

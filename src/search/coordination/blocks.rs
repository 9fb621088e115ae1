//! Blocks — decides which requests an index refuses because of a block on it. It never sets one.
//!
//! Numbers, texts and statuses are those of Elasticsearch's `IndexMetadata.INDEX_*_BLOCK`.

use super::error;
use crate::{
    name::IndexName,
    search::{api::ApiError, state::ClusterState},
};

/// What a request wants to do with an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Read documents.
    Read,
    /// Change documents.
    Write,
}

/// One block: its setting, its text, the status of a refusal, what it refuses.
const BLOCKS: [(&str, &str, u16, Level); 4] = [
    ("index.blocks.read_only", "FORBIDDEN/5/index read-only (api)", 403, Level::Write),
    ("index.blocks.read", "FORBIDDEN/7/index read (api)", 403, Level::Read),
    ("index.blocks.write", "FORBIDDEN/8/index write (api)", 403, Level::Write),
    (READ_ONLY_ALLOW_DELETE, FLOOD_STAGE, 429, Level::Write),
];

const READ_ONLY_ALLOW_DELETE: &str = "index.blocks.read_only_allow_delete";
const FLOOD_STAGE: &str =
    "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block";

/// Whether an index may be read or written.
///
/// # Errors
///
/// `cluster_block_exception`: 403, or 429 if its disks are full.
pub(super) fn check(state: &ClusterState, index: &IndexName, level: Level) -> Result<(), ApiError> {
    let is_full = state.indices.get(index).is_some_and(|metadata| metadata.read_only_allow_delete);
    let set = state.settings.indices.get(index);
    for (setting, text, status, _) in BLOCKS.into_iter().filter(|(_, _, _, refuses)| *refuses == level) {
        let is_set = set.is_some_and(|settings| settings.set(setting) == Some("true"));
        if is_set || is_full && setting == READ_ONLY_ALLOW_DELETE {
            return Err(error::blocked(status, index, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::search::{fixture, settings::Settings};

    fn refusal(block: &str, level: Level) -> Option<(u16, String)> {
        let mut state = fixture::state(1, Vec::new());
        let settings = Settings([(format!("index.blocks.{block}"), "true".to_owned())].into());
        Arc::make_mut(&mut state.settings).indices.insert("articles".into(), settings);
        check(&state, &"articles".into(), level).err().map(|error| (error.status, error.reason))
    }

    #[test]
    fn each_block_refuses_what_it_is_for() {
        let told = |text: &str| format!("index [articles] blocked by: [{text}];");
        assert_eq!(refusal("write", Level::Write), Some((403, told("FORBIDDEN/8/index write (api)"))));
        assert_eq!(
            refusal("read_only", Level::Write),
            Some((403, told("FORBIDDEN/5/index read-only (api)")))
        );
        assert_eq!(refusal("read", Level::Read), Some((403, told("FORBIDDEN/7/index read (api)"))));
        assert_eq!(refusal("read_only_allow_delete", Level::Write), Some((429, told(FLOOD_STAGE))));
        for (block, level) in [("write", Level::Read), ("read", Level::Write), ("metadata", Level::Write)] {
            assert_eq!(refusal(block, level), None);
        }
    }

    #[test]
    fn full_disk_refuses_writes() {
        let mut state = fixture::state(1, Vec::new());
        state.indices.get_mut(&"articles".into()).unwrap().read_only_allow_delete = true;
        assert_eq!(check(&state, &"articles".into(), Level::Write).unwrap_err().status, 429);
        assert_eq!(check(&state, &"articles".into(), Level::Read), Ok(()));
    }
}

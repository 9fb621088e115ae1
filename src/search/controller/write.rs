//! Writes — decides how a state, the settings and the notice that belong together are written, and what the
//! answer means. It never decides what is written.

use super::super::{
    discovery::{CONTROLLER_EPOCH, SETTINGS, STATE},
    notices::Announcement,
    settings::SettingsDocument,
    state::ClusterState,
    tasks::{Answer, Task},
};
use crate::{
    event::EventKind,
    zookeeper::{
        client::RequestId,
        recipes::notification,
        wire::{Data, Op, Reply, Stat, ZkError},
    },
};

/// A write that is not known to have succeeded.
#[derive(Debug)]
pub(super) struct Write {
    /// The next state.
    pub(super) state: ClusterState,
    /// What it changes, for people.
    pub(super) why: String,
    /// What is told of it to nodes.
    pub(super) announcement: Option<Announcement>,
    /// Whether the document of settings is written, too.
    pub(super) with_settings: bool,
    /// What was done for it, should it have to be done again on another state.
    pub(super) tasks: Vec<Task>,
    /// What is answered once it is written.
    pub(super) answers: Vec<Answer>,
    /// What is noted once it is written.
    pub(super) notes: Vec<EventKind>,
    /// How it stands.
    pub(super) step: Step,
}

/// How a write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Its answer is due.
    Asked(RequestId),
    /// Its answer was lost with the connection.
    Lost,
    /// The znodes are being read, to see what became of it.
    LookedUp,
}

/// The data versions of the two znodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    /// Of the state.
    pub(super) state: i32,
    /// Of the settings.
    pub(super) settings: i32,
}

/// What the answer to a write means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It took effect.
    Written {
        /// The versions now; the one of the settings only if they were written.
        versions: (i32, Option<i32>),
        /// The place of the notice.
        notice: Option<i64>,
    },
    /// It did not: the epoch is over.
    Fenced,
    /// The answer was lost.
    Lost,
    /// It did not, because a znode is not as expected.
    Surprised,
}

impl Write {
    /// The operation: all or nothing, and only if the epoch is still the one of this draw (none: whatever the
    /// epoch and the versions are, as KAFKA-6082 had it).
    pub(super) fn op(&self, drawn: Option<i32>, versions: Versions) -> Op {
        let version = |version| if drawn.is_some() { version } else { -1 };
        let set = |path: &str, data: Data, expected| Op::SetData {
            path: path.to_owned(),
            data,
            version: version(expected),
        };
        let check = drawn.map(|version| Op::Check { path: CONTROLLER_EPOCH.to_owned(), version });
        let state = set(STATE, Some(self.state.to_bytes()), versions.state);
        let settings = || set(SETTINGS, Some(self.state.settings.to_bytes()), versions.settings);
        let mut ops: Vec<Op> = check.into_iter().chain([state]).collect();
        ops.extend(self.with_settings.then(settings));
        ops.extend(self.announcement.as_ref().map(Announcement::op));
        if let [_] = ops[..] { ops.remove(0) } else { Op::Multi(ops) }
    }
}

/// Reads the answer to [`Write::op`].
pub(super) fn outcome(result: &Result<Reply, ZkError>, is_fenced: bool) -> Outcome {
    let results = match result {
        Ok(Reply::Multi(results)) => results.as_slice(),
        Ok(_) => std::slice::from_ref(result),
        Err(_) => return Outcome::Lost,
    };
    if is_fenced && results.first().is_some_and(Result::is_err) {
        let over = results[0] == Err(ZkError::BadVersion);
        return if over { Outcome::Fenced } else { Outcome::Surprised };
    }
    let stat = |reply: &Result<Reply, ZkError>| match reply {
        Ok(Reply::Stat(Stat { version, .. })) => Some(*version),
        _ => None,
    };
    let mut stats = results.iter().filter_map(stat);
    match (results.iter().all(Result::is_ok), stats.next()) {
        (true, Some(state)) => {
            let notice = results.iter().find_map(|reply| match reply {
                Ok(Reply::Created { path, .. }) => notification::position(path),
                _ => None,
            });
            Outcome::Written { versions: (state, stats.next()), notice }
        }
        _ => Outcome::Surprised,
    }
}

/// The document of settings in a znode's data: the empty one if none was written yet, none if it is not whole.
pub(super) fn document(data: &Data) -> Option<SettingsDocument> {
    SettingsDocument::from_bytes(data.as_deref())
}

//! Versioning — decides whether a write may happen to a document, as what, and with which version. It never looks
//! at anything but that document's version.
//!
//! The rules are those of Elasticsearch's `InternalEngine.planIndexingAsPrimary`, `planDeletionAsPrimary` and
//! `VersionType`.

use crate::{
    name::{SeqNo, Term},
    search::{
        api::{ApiError, VersionType, WriteResult},
        engine::Version,
        shards::{Condition, WriteAction, WriteCall},
    },
};

/// What a write does to its document, and the version that the document gets.
///
/// # Errors
///
/// 409 `version_conflict_engine_exception` if its condition does not hold. The write has no effect then.
pub(super) fn plan(call: &WriteCall, known: Option<&Version>) -> Result<(WriteResult, u64), ApiError> {
    let living = known.filter(|known| known.digest.is_some());
    let held = match call.condition {
        Condition::None => Ok(()),
        Condition::Missing => check_missing(living),
        Condition::LastChangedBy(seq_no, term) => check_last_change((seq_no, term), living),
        // A tombstone counts with its version, as long as it is known.
        Condition::Version(version, kind) => check_version(version, kind, known),
    };
    held.map_err(|why| conflict(&call.id, &why))?;
    let version = match call.condition {
        Condition::Version(version, _) => version,
        _ => known.map_or(1, |known| known.version + 1),
    };
    Ok((result_of(&call.action, living.is_some()), version))
}

fn check_missing(living: Option<&Version>) -> Result<(), String> {
    let exists = |known: &Version| format!("document already exists (current version [{}])", known.version);
    living.map(exists).map_or(Ok(()), Err)
}

fn check_last_change(wanted: (SeqNo, Term), living: Option<&Version>) -> Result<(), String> {
    let found = living.map(|known| (known.seq_no, known.term));
    if found == Some(wanted) {
        return Ok(());
    }
    let (seq_no, term) = wanted;
    let found = found.map_or_else(
        || "but no document was found".to_owned(),
        |(seq_no, term)| format!("current document has seqNo [{seq_no}] and primary term [{term}]"),
    );
    Err(format!("required seqNo [{seq_no}], primary term [{term}]. {found}"))
}

fn check_version(version: u64, kind: VersionType, known: Option<&Version>) -> Result<(), String> {
    let Some(current) = known.map(|known| known.version) else { return Ok(()) };
    let (gives_way, than) = match kind {
        VersionType::External => (current < version, "higher or equal to"),
        VersionType::Internal | VersionType::ExternalGte => (current <= version, "higher than"),
    };
    let text = || format!("current version [{current}] is {than} the one provided [{version}]");
    if gives_way { Ok(()) } else { Err(text()) }
}

fn conflict(id: &str, why: &str) -> ApiError {
    let reason = format!("[{id}]: version conflict, {why}");
    ApiError::new(409, "version_conflict_engine_exception", reason)
}

fn result_of(action: &WriteAction, exists: bool) -> WriteResult {
    match (action, exists) {
        (WriteAction::Index { .. } | WriteAction::Update { .. }, false) => WriteResult::Created,
        (WriteAction::Index { .. } | WriteAction::Update { .. }, true) => WriteResult::Updated,
        (WriteAction::Delete, true) => WriteResult::Deleted,
        (WriteAction::Delete, false) => WriteResult::NotFound,
    }
}

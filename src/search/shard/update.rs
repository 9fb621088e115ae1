//! Updates — decides what an update makes of the document that is there. It never writes one.
//!
//! Elasticsearch's `UpdateHelper`. There a get and a conditional index follow each other, and a write in between is a
//! conflict; here the primary does both in one step.

use serde_json::{Map, Value};

use crate::search::{
    api::{ApiError, GotDoc},
    shards::{Condition, WriteAction, WriteCall},
};

/// What an update comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Update {
    /// This write.
    Write(WriteCall),
    /// Nothing: the document is as wanted.
    Noop(GotDoc),
}

/// What `call` comes to, given the document that is there.
///
/// # Errors
///
/// 404 `document_missing_exception` if there is none and nothing to put instead.
pub(super) fn resolve(call: WriteCall, current: Option<GotDoc>) -> Result<Update, ApiError> {
    let WriteAction::Update { doc, upsert, detect_noop } = &call.action else {
        return Ok(Update::Write(call));
    };
    let Some(current) = current else {
        let missing =
            || ApiError::new(404, "document_missing_exception", format!("[{}]: document missing", call.id));
        // Whoever names the operation that changed it last is told of the conflict.
        if matches!(call.condition, Condition::LastChangedBy(..)) {
            let (action, id) = (WriteAction::Index { source: doc.clone() }, call.id.clone());
            return Ok(Update::Write(WriteCall { action, id, ..call }));
        }
        let source = upsert.clone().ok_or_else(missing)?;
        return Ok(Update::Write(WriteCall { action: WriteAction::Index { source }, ..call }));
    };
    let mut merged = object(&current.source);
    let changed = merge(&mut merged, object(doc));
    if !changed && *detect_noop && call.condition == Condition::None {
        return Ok(Update::Noop(current));
    }
    let source = Value::Object(merged).to_string().into();
    Ok(Update::Write(WriteCall { action: WriteAction::Index { source }, ..call }))
}

fn object(source: &str) -> Map<String, Value> {
    serde_json::from_str(source).unwrap_or_default()
}

/// Objects are merged, all else is replaced (`XContentHelper.update`). Gives whether anything changed.
fn merge(into: &mut Map<String, Value>, changes: Map<String, Value>) -> bool {
    let mut changed = false;
    for (name, value) in changes {
        changed |= match (into.get_mut(&name), value) {
            (Some(Value::Object(held)), Value::Object(inner)) => merge(held, inner),
            (Some(held), value) if *held == value => false,
            (_, value) => {
                into.insert(name, value);
                true
            }
        };
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{SeqNo, Term};

    fn update(doc: &str, upsert: Option<&str>) -> WriteCall {
        let action =
            WriteAction::Update { doc: doc.into(), upsert: upsert.map(Into::into), detect_noop: true };
        WriteCall { action, ..WriteCall::delete("1") }
    }

    fn held(source: &str) -> Option<GotDoc> {
        Some(GotDoc { source: source.into(), routing: None, seq_no: SeqNo(3), term: Term(1), version: 2 })
    }

    fn source(update: Result<Update, ApiError>) -> String {
        match update {
            Ok(Update::Write(call)) => call.source().unwrap().to_string(),
            other => panic!("expected a write, not {other:?}"),
        }
    }

    #[test]
    fn objects_are_merged_and_all_else_replaced() {
        let merged = resolve(update(r#"{"a":{"y":2},"b":[3]}"#, None), held(r#"{"a":{"x":1},"b":[1,2]}"#));
        assert_eq!(source(merged), r#"{"a":{"x":1,"y":2},"b":[3]}"#);
    }

    #[test]
    fn update_that_changes_nothing_is_none() {
        let same = resolve(update(r#"{"a":1}"#, None), held(r#"{"a":1,"b":2}"#));
        assert!(matches!(same, Ok(Update::Noop(_))));
    }

    #[test]
    fn missing_document_is_put_or_told() {
        assert_eq!(source(resolve(update("{}", Some(r#"{"a":1}"#)), None)), r#"{"a":1}"#);
        let error = resolve(update("{}", None), None).unwrap_err();
        assert_eq!((error.status, &*error.kind), (404, "document_missing_exception"));
        assert_eq!(error.reason, "[1]: document missing");
    }
}

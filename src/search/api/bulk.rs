//! Bulk API — decides how many writes are written down in one request, and how their results are. It never decides
//! a result.
//!
//! The form is NDJSON, as Elasticsearch's `BulkRequestParser` reads it; each item ends by itself, and one that
//! fails does not fail the others.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    ActiveShards, ApiError, DeleteRequest, IndexRequest, OpType, RefreshPolicy, UpdateRequest, VersionType,
    WriteAnswer, WriteOptions,
};
use crate::name::IndexName;

/// `POST /_bulk`, `POST /index/_bulk`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRequest {
    /// The index of items that name none.
    pub index: Option<IndexName>,
    /// NDJSON: a line of what to do, and for all but deletes a line with the document.
    pub body: String,
    /// routing of items that name none.
    pub routing: Option<String>,
    /// refresh, of all items.
    pub refresh: RefreshPolicy,
    /// wait_for_active_shards, of all items.
    pub wait_for_active_shards: Option<ActiveShards>,
    /// timeout; none: that of the cluster.
    pub timeout: Option<Duration>,
}

/// What an item does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Puts a document.
    Index,
    /// Puts a document if there is none.
    Create,
    /// Merges into a document.
    Update,
    /// Removes a document.
    Delete,
}

impl BulkAction {
    /// Its name in requests and replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One item of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkWrite {
    /// `index` or `create`.
    Index(IndexRequest),
    /// `update`.
    Update(UpdateRequest),
    /// `delete`.
    Delete(DeleteRequest),
}

impl BulkRequest {
    /// The items.
    ///
    /// # Errors
    ///
    /// 400 `illegal_argument_exception` if a line is malformed, `action_request_validation_exception` if there is
    /// none or one names no index: nothing is done then.
    pub fn items(&self) -> Result<Vec<BulkWrite>, ApiError> {
        if !self.body.is_empty() && !self.body.ends_with('\n') {
            return Err(ApiError::illegal("The bulk request must be terminated by a newline [\\n]"));
        }
        let mut lines = (1..).zip(self.body.lines());
        let mut items = Vec::new();
        while let Some((number, line)) = lines.next() {
            if line.trim().is_empty() {
                continue;
            }
            let (action, meta) = action(number, line)?;
            items.push(match action {
                BulkAction::Delete => self.delete(number, &meta)?,
                BulkAction::Index | BulkAction::Create | BulkAction::Update => {
                    let source =
                        lines.next().ok_or_else(|| malformed(number, "END_OBJECT", "no document"))?.1;
                    self.with_source(number, action, &meta, source)?
                }
            });
        }
        if items.is_empty() { Err(ApiError::invalid(&["no requests added"])) } else { Ok(items) }
    }

    fn with_source(
        &self,
        number: usize,
        action: BulkAction,
        meta: &Map<String, Value>,
        source: &str,
    ) -> Result<BulkWrite, ApiError> {
        if action == BulkAction::Update {
            let id = text(number, meta, "_id")?.unwrap_or_default();
            let request = UpdateRequest::read(self.index_of(meta)?, id, source)?;
            let retry_on_conflict = whole(number, meta, "retry_on_conflict")?.unwrap_or_default();
            let retry_on_conflict = u32::try_from(retry_on_conflict).unwrap_or_default();
            let options = self.options(number, meta)?;
            return Ok(BulkWrite::Update(UpdateRequest { retry_on_conflict, options, ..request }));
        }
        let stated = matches!(meta.get("op_type").and_then(Value::as_str), Some("create"));
        let creates = action == BulkAction::Create || stated;
        Ok(BulkWrite::Index(IndexRequest {
            index: self.index_of(meta)?,
            id: text(number, meta, "_id")?,
            source: Arc::from(source),
            op_type: if creates { OpType::Create } else { OpType::Index },
            options: self.options(number, meta)?,
        }))
    }

    fn delete(&self, number: usize, meta: &Map<String, Value>) -> Result<BulkWrite, ApiError> {
        let (index, options) = (self.index_of(meta)?, self.options(number, meta)?);
        let id = text(number, meta, "_id")?.unwrap_or_default();
        Ok(BulkWrite::Delete(DeleteRequest { index, id, options }))
    }

    fn index_of(&self, meta: &Map<String, Value>) -> Result<IndexName, ApiError> {
        let named = meta.get("_index").and_then(Value::as_str).map(IndexName::from);
        named.or_else(|| self.index.clone()).ok_or_else(|| ApiError::invalid(&["index is missing"]))
    }

    fn options(&self, number: usize, meta: &Map<String, Value>) -> Result<WriteOptions, ApiError> {
        let version_type = match text(number, meta, "version_type")?.as_deref() {
            None | Some("internal") => VersionType::Internal,
            Some("external") => VersionType::External,
            Some("external_gte") => VersionType::ExternalGte,
            Some(other) => return Err(ApiError::illegal(format!("No version type match [{other}]"))),
        };
        Ok(WriteOptions {
            if_seq_no: whole(number, meta, "if_seq_no")?,
            if_primary_term: whole(number, meta, "if_primary_term")?,
            version: whole(number, meta, "version")?,
            version_type,
            routing: text(number, meta, "routing")?.or_else(|| self.routing.clone()),
            refresh: self.refresh,
            wait_for_active_shards: self.wait_for_active_shards,
            timeout: self.timeout,
        })
    }
}

/// What a line of metadata may say.
const PARAMETERS: [&str; 10] = [
    "_index",
    "_id",
    "routing",
    "op_type",
    "version",
    "version_type",
    "if_seq_no",
    "if_primary_term",
    "require_alias",
    "retry_on_conflict",
];

fn malformed(number: usize, expected: &str, found: &str) -> ApiError {
    let text = format!("Malformed action/metadata line [{number}], expected {expected} but found [{found}]");
    ApiError::illegal(text)
}

fn action(number: usize, line: &str) -> Result<(BulkAction, Map<String, Value>), ApiError> {
    let Ok(Value::Object(object)) = serde_json::from_str::<Value>(line) else {
        return Err(malformed(number, "START_OBJECT", line.get(..1).unwrap_or("VALUE")));
    };
    let mut named = object.into_iter();
    let Some((name, meta)) = named.next() else { return Err(malformed(number, "FIELD_NAME", "END_OBJECT")) };
    let action = match name.as_str() {
        "index" => BulkAction::Index,
        "create" => BulkAction::Create,
        "update" => BulkAction::Update,
        "delete" => BulkAction::Delete,
        _ => {
            let wanted = "expected field [create], [delete], [index] or [update] but found";
            return Err(ApiError::illegal(format!(
                "Malformed action/metadata line [{number}], {wanted} [{name}]"
            )));
        }
    };
    if named.next().is_some() {
        return Err(malformed(number, "END_OBJECT", "FIELD_NAME"));
    }
    let Value::Object(meta) = meta else { return Err(malformed(number, "START_OBJECT", "VALUE")) };
    if let Some(unknown) = meta.keys().find(|key| !PARAMETERS.contains(&key.as_str())) {
        let text = format!("Action/metadata line [{number}] contains an unknown parameter [{unknown}]");
        return Err(ApiError::illegal(text));
    }
    Ok((action, meta))
}

fn text(number: usize, meta: &Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match meta.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(count)) => Ok(Some(count.to_string())),
        Some(_) => Err(malformed(number, "a simple value for field", name)),
    }
}

fn whole(number: usize, meta: &Map<String, Value>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = text(number, meta, name)? else { return Ok(None) };
    let read = text.parse().map(Some);
    read.map_err(|_| ApiError::illegal(format!("Failed to parse [{name}] of line [{number}]: [{text}]")))
}

/// What came of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkItem {
    /// What it was to do.
    pub action: BulkAction,
    /// On which index.
    pub index: IndexName,
    /// On which document.
    pub id: String,
    /// What came of it.
    pub result: Result<WriteAnswer, ApiError>,
}

/// What came of a bulk request: each item by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkAnswer {
    /// The items, in the order of the request.
    pub items: Vec<BulkItem>,
}

impl BulkAnswer {
    /// The body, as Elasticsearch writes it, but for `took`, which only its caller can tell.
    pub fn body(&self) -> Value {
        let errors = self.items.iter().any(|item| item.result.is_err());
        json!({ "errors": errors, "items": self.items.iter().map(BulkItem::body).collect::<Vec<_>>() })
    }
}

impl BulkItem {
    fn body(&self) -> Value {
        let told = match &self.result {
            Ok(answer) => {
                let mut body = answer.body();
                body["status"] = answer.status().into();
                body
            }
            Err(error) => json!({
                "_index": self.index,
                "_id": self.id,
                "status": error.status,
                "error": error.cause(),
            }),
        };
        json!({ self.action.name(): told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> BulkRequest {
        BulkRequest { index: Some("articles".into()), body: body.to_owned(), ..BulkRequest::default() }
    }

    fn refused(body: &str) -> String {
        let error = request(body).items().unwrap_err();
        assert_eq!((error.status, &*error.kind, error.certain), (400, "illegal_argument_exception", true));
        error.reason
    }

    /// "`POST /_bulk` (NDJSON)".
    #[test]
    fn lines_become_writes() {
        let body = concat!(
            "{\"index\":{\"_index\":\"books\",\"_id\":\"1\",\"routing\":\"r\"}}\n{\"a\":1}\n",
            "{\"create\":{}}\n{\"a\":2}\n",
            "{\"delete\":{\"_id\":\"3\",\"if_seq_no\":4,\"if_primary_term\":1}}\n",
        );
        let items = request(body).items().unwrap();
        let [BulkWrite::Index(first), BulkWrite::Index(second), BulkWrite::Delete(third)] = items.as_slice()
        else {
            panic!("{items:?}")
        };
        assert_eq!((&*first.index.0, first.id.as_deref(), &*first.source), ("books", Some("1"), "{\"a\":1}"));
        assert_eq!((first.op_type, first.options.routing.as_deref()), (OpType::Index, Some("r")));
        assert_eq!((&*second.index.0, &second.id, second.op_type), ("articles", &None, OpType::Create));
        assert_eq!((third.id.as_str(), third.options.if_seq_no), ("3", Some(4)));
    }

    #[test]
    fn malformed_lines_are_told_by_number() {
        assert_eq!(
            refused("{\"index\":{}}\n{}\n{\"put\":{}}\n"),
            "Malformed action/metadata line [3], expected field [create], [delete], [index] or [update] but found [put]"
        );
        assert_eq!(
            refused("[]\n"),
            "Malformed action/metadata line [1], expected START_OBJECT but found [[]"
        );
        assert_eq!(
            refused("{\"delete\":{\"_type\":\"x\"}}\n"),
            "Action/metadata line [1] contains an unknown parameter [_type]"
        );
        assert_eq!(refused("{\"delete\":{}}"), "The bulk request must be terminated by a newline [\\n]");
    }

    #[test]
    fn empty_request_is_invalid() {
        let error = request("").items().unwrap_err();
        assert_eq!(error.reason, "Validation Failed: 1: no requests added;");
    }

    /// "item failures do not fail the call".
    #[test]
    fn failed_item_is_told_beside_the_others() {
        let failed = BulkItem {
            action: BulkAction::Create,
            index: "articles".into(),
            id: "1".to_owned(),
            result: Err(ApiError::new(409, "version_conflict_engine_exception", "no")),
        };
        let body = BulkAnswer { items: vec![failed] }.body();
        assert_eq!(body["errors"], true);
        assert_eq!(body["items"][0]["create"]["status"], 409);
        assert_eq!(body["items"][0]["create"]["error"]["type"], "version_conflict_engine_exception");
    }
}

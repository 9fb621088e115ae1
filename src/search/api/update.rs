//! Update API — decides what an update of a document can ask. It never merges one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ApiError, VersionType, WriteOptions};
use crate::name::IndexName;

/// `POST /index/_update/id`. The primary reads and writes in one step, so there is nothing to retry on a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRequest {
    /// The index.
    pub index: IndexName,
    /// Document id.
    pub id: String,
    /// What is merged into the document: a JSON object.
    pub doc: Arc<str>,
    /// What is put if there is none; nothing: such an update fails.
    pub upsert: Option<Arc<str>>,
    /// detect_noop: whether an update that changes nothing is left out.
    pub detect_noop: bool,
    /// retry_on_conflict.
    pub retry_on_conflict: u32,
    /// What any write takes.
    pub options: WriteOptions,
}

impl UpdateRequest {
    /// Merges this into the document.
    pub fn new(index: IndexName, id: impl Into<String>, doc: Arc<str>) -> Self {
        let (upsert, options) = (None, WriteOptions::default());
        Self { index, id: id.into(), doc, upsert, detect_noop: true, retry_on_conflict: 0, options }
    }

    /// Reads the body of a request: `doc`, `doc_as_upsert`, `upsert`, `detect_noop`.
    ///
    /// # Errors
    ///
    /// 400 `x_content_parse_exception` if it is none, `action_request_validation_exception` without `doc`.
    pub fn read(index: IndexName, id: String, body: &str) -> Result<Self, ApiError> {
        let fields: Map<String, Value> = serde_json::from_str(body)
            .map_err(|error| ApiError::new(400, "x_content_parse_exception", error.to_string()))?;
        let mut request = Self::new(index, id, Arc::from("{}"));
        let (mut has_doc, mut doc_as_upsert) = (false, false);
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("doc", Value::Object(doc)) => {
                    request.doc = Value::Object(doc).to_string().into();
                    has_doc = true;
                }
                ("upsert", Value::Object(doc)) => {
                    request.upsert = Some(Value::Object(doc).to_string().into())
                }
                ("doc_as_upsert", Value::Bool(wanted)) => doc_as_upsert = wanted,
                ("detect_noop", Value::Bool(wanted)) => request.detect_noop = wanted,
                (name, _) => {
                    let reason = format!("[1:2] [UpdateRequest] unknown field [{name}]");
                    return Err(ApiError::new(400, "x_content_parse_exception", reason));
                }
            }
        }
        if !has_doc {
            return Err(ApiError::invalid(&["script or doc is missing"]));
        }
        if doc_as_upsert {
            request.upsert = Some(request.doc.clone());
        }
        Ok(request)
    }

    /// What is wrong beside what is wrong with any write (`UpdateRequest.validate`).
    pub fn problems(&self) -> Vec<String> {
        let Self { upsert, retry_on_conflict, options, .. } = self;
        let mut problems = Vec::new();
        if options.version_type != VersionType::Internal || options.version.is_some() {
            let instead = "Please use `if_seq_no` and `if_primary_term` instead";
            let reason = "internal versioning can not be used for optimistic concurrency control.";
            problems.push(format!("{reason} {instead}"));
        }
        if options.if_seq_no.is_some() && *retry_on_conflict > 0 {
            problems.push("compare and write operations can not be retried".to_owned());
        }
        if options.if_seq_no.is_some() && upsert.is_some() {
            problems.push("upsert requests don't support `if_seq_no` and `if_primary_term`".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<UpdateRequest, ApiError> {
        UpdateRequest::read("articles".into(), "1".to_owned(), body)
    }

    #[test]
    fn body_says_what_to_merge_and_what_to_put() {
        let request = read(r#"{"doc":{"a":1},"doc_as_upsert":true,"detect_noop":false}"#).unwrap();
        assert_eq!((&*request.doc, request.upsert.as_deref()), (r#"{"a":1}"#, Some(r#"{"a":1}"#)));
        assert!(!request.detect_noop);
    }

    #[test]
    fn senseless_bodies_are_refused() {
        assert_eq!(&*read("{").unwrap_err().kind, "x_content_parse_exception");
        assert_eq!(read(r#"{"dok":{}}"#).unwrap_err().reason, "[1:2] [UpdateRequest] unknown field [dok]");
        assert_eq!(read("{}").unwrap_err().reason, "Validation Failed: 1: script or doc is missing;");
    }
}

//! Document API — decides what clients can ask of documents and what they are told; Elasticsearch's names and
//! shapes. It never decides an answer.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ActiveShards;
use crate::{
    name::{IndexName, SeqNo, Term},
    search::query::SourceFilter,
};

/// `PUT /index/_doc/id`, or `POST /index/_doc` without an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRequest {
    /// The index.
    pub index: IndexName,
    /// Document id; none: the coordinating node draws one.
    pub id: Option<String>,
    /// The document: a JSON object.
    pub source: Arc<str>,
    /// op_type.
    pub op_type: OpType,
    /// What any write takes.
    pub options: WriteOptions,
}

impl IndexRequest {
    /// Puts a document under this id, whatever was there.
    pub fn new(index: IndexName, id: impl Into<String>, source: Arc<str>) -> Self {
        let (op_type, options) = (OpType::Index, WriteOptions::default());
        Self { index, id: Some(id.into()), source, op_type, options }
    }
}

/// `DELETE /index/_doc/id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRequest {
    /// The index.
    pub index: IndexName,
    /// Document id.
    pub id: String,
    /// What any write takes.
    pub options: WriteOptions,
}

impl DeleteRequest {
    /// Removes the document of this id, whatever is there.
    pub fn new(index: IndexName, id: impl Into<String>) -> Self {
        Self { index, id: id.into(), options: WriteOptions::default() }
    }
}

/// `op_type` of an index request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpType {
    /// Puts the document, whatever was there.
    #[default]
    Index,
    /// Puts the document only if there is none.
    Create,
}

/// `version_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionType {
    /// Versions are counted by the shard.
    #[default]
    Internal,
    /// The client gives the version: it must be higher than that of the document.
    External,
    /// The client gives the version: it must not be lower than that of the document.
    ExternalGte,
}

/// `refresh` of a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshPolicy {
    /// `false`: it becomes searchable with the next refresh.
    #[default]
    None,
    /// `true`: it is searchable when it is answered.
    Immediate,
    /// `wait_for`: it is answered when a refresh has made it searchable.
    WaitFor,
}

/// What any write takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteOptions {
    /// if_seq_no.
    pub if_seq_no: Option<i64>,
    /// if_primary_term.
    pub if_primary_term: Option<i64>,
    /// version.
    pub version: Option<i64>,
    /// version_type.
    pub version_type: VersionType,
    /// routing; none: the id.
    pub routing: Option<String>,
    /// refresh.
    pub refresh: RefreshPolicy,
    /// wait_for_active_shards; none: `index.write.wait_for_active_shards`.
    pub wait_for_active_shards: Option<ActiveShards>,
    /// timeout; none: that of the cluster.
    pub timeout: Option<Duration>,
}

impl WriteOptions {
    /// Only if the document was last changed by this operation.
    pub fn if_last_changed_by(seq_no: SeqNo, term: Term) -> Self {
        let term = i64::try_from(term.0).unwrap_or(i64::MAX);
        Self { if_seq_no: Some(seq_no.0), if_primary_term: Some(term), ..Self::default() }
    }
}

/// `GET /index/_doc/id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRequest {
    /// The index.
    pub index: IndexName,
    /// Document id.
    pub id: String,
    /// realtime: whether operations count that are not searchable yet.
    pub realtime: bool,
    /// refresh: whether the copy refreshes first.
    pub refresh: bool,
    /// routing; none: the id.
    pub routing: Option<String>,
    /// preference: which copies to ask.
    pub preference: Option<String>,
    /// `_source`: what of the document is shown.
    pub source: SourceFilter,
}

impl GetRequest {
    /// The document of this id, as of now.
    pub fn new(index: IndexName, id: impl Into<String>) -> Self {
        let (routing, preference, source) = (None, None, SourceFilter::default());
        Self { index, id: id.into(), realtime: true, refresh: false, routing, preference, source }
    }
}

/// `POST /index/_refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshRequest {
    /// The index.
    pub index: IndexName,
}

/// `result` of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum WriteResult {
    Created,
    Updated,
    Deleted,
    NotFound,
    Noop,
}

impl WriteResult {
    /// Its name in replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::NotFound => "not_found",
            Self::Noop => "noop",
        }
    }
}

/// What a write did; every in-sync copy has it, durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteAnswer {
    /// The index.
    pub index: IndexName,
    /// Document id.
    pub id: String,
    /// What it did.
    pub result: WriteResult,
    /// The operation's number.
    pub seq_no: SeqNo,
    /// Its term.
    pub term: Term,
    /// `_version` of the document.
    pub version: u64,
    /// Copies that the write should have gone to, and copies that have it.
    pub copies: (u32, u32),
    /// Whether a refresh was made for it.
    pub forced_refresh: bool,
}

impl WriteAnswer {
    /// 201 if it made the document, 404 if there was none to delete (`DocWriteResponse.status`).
    pub fn status(&self) -> u16 {
        match self.result {
            WriteResult::Created => 201,
            WriteResult::NotFound => 404,
            WriteResult::Updated | WriteResult::Deleted | WriteResult::Noop => 200,
        }
    }

    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let (total, successful) = self.copies;
        let mut body = json!({
            "_index": self.index,
            "_id": self.id,
            "_version": self.version,
            "result": self.result,
            "_shards": { "total": total, "successful": successful, "failed": 0 },
            "_seq_no": self.seq_no,
            "_primary_term": self.term,
        });
        if self.forced_refresh {
            body["forced_refresh"] = true.into();
        }
        body
    }
}

/// What a get found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetAnswer {
    /// The index.
    pub index: IndexName,
    /// Document id.
    pub id: String,
    /// The document, if there is one.
    pub doc: Option<GotDoc>,
}

impl GetAnswer {
    /// 404 if there is none.
    pub fn status(&self) -> u16 {
        if self.doc.is_some() { 200 } else { 404 }
    }

    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let mut body = json!({ "_index": self.index, "_id": self.id, "found": self.doc.is_some() });
        if let Some(GotDoc { source, routing, seq_no, term, version }) = &self.doc {
            body["_version"] = (*version).into();
            body["_seq_no"] = seq_no.0.into();
            body["_primary_term"] = term.0.into();
            if let Some(routing) = routing {
                body["_routing"] = json!(routing);
            }
            if !source.is_empty() {
                body["_source"] = serde_json::from_str(source).unwrap_or_default();
            }
        }
        body
    }
}

/// A document found by get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GotDoc {
    /// The document, or what of it is shown; empty if nothing is.
    pub source: Arc<str>,
    /// `_routing`, if it was not routed by its id.
    pub routing: Option<Arc<str>>,
    /// The operation that wrote it.
    pub seq_no: SeqNo,
    /// That operation's term.
    pub term: Term,
    /// `_version`.
    pub version: u64,
}

/// What a refresh did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshAnswer {
    /// Copies that did.
    pub successful: u32,
    /// Copies asked.
    pub total: u32,
}

impl RefreshAnswer {
    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let Self { successful, total } = self;
        json!({ "_shards": { "total": total, "successful": successful, "failed": total - successful } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_document_shows_its_routing_and_what_is_asked_of_its_source() {
        let body = |source: &str, routing: Option<&str>| {
            let (seq_no, term, version) = (SeqNo(3), Term(1), 2);
            let (source, routing) = (source.into(), routing.map(Into::into));
            let doc = Some(GotDoc { source, routing, seq_no, term, version });
            GetAnswer { index: "articles".into(), id: "1".to_owned(), doc }.body()
        };
        let all = body(r#"{"a":1}"#, Some("r"));
        assert_eq!((&all["_routing"], &all["_source"]["a"]), (&json!("r"), &json!(1)));
        let none = body("", None);
        assert!(none.get("_source").is_none() && none.get("_routing").is_none());
        assert_eq!(none["found"], true);
    }
}

//! History — decides what is recorded of a client's request and of its answer: all that laws know of either. It
//! never decides what to ask.

use std::time::Duration;

use crate::{
    event::{Digest, DocOp, EventKind, Outcome, Word},
    name::{HostId, IndexName},
    search::api::{ApiAnswer, ApiCall, ApiError, GetAnswer, SearchAnswer, SearchRequest, WriteAnswer},
    sim::client::{CallError, Client},
};

/// What a request about one document asks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// On which index.
    pub index: IndexName,
    /// The document's id; empty if it is to be drawn.
    pub id: String,
    /// What is asked.
    pub op: DocOp,
    /// What is written.
    pub source: Option<Source>,
    /// How it is asked: `_bulk` or `_mget`, and parameters, with `&` between.
    pub parameters: String,
}

/// A document that is written.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its JSON.
    pub text: String,
    /// The words in its field `body`, with blanks between.
    pub words: String,
    /// Its other fields that searches ask for, as a JSON object; empty if there are none.
    pub fields: String,
}

/// Asks, and records what was asked and what came of it.
///
/// # Errors
///
/// As [`Client::call`]'s.
pub async fn document(
    client: &Client,
    request: u64,
    node: HostId,
    asked: Asked,
    call: ApiCall,
    patience: Duration,
) -> Result<ApiAnswer, CallError> {
    let is_drawn = asked.op == DocOp::Add;
    client.record(invoked(request, asked));
    let result = client.call_as(request, node, call, patience).await;
    client.record(completed(request, is_drawn, &result));
    result
}

/// Searches, and records the query and the answer; `parameters`: those of the request that are not in its body.
///
/// # Errors
///
/// As [`Client::call`]'s.
pub async fn search(
    client: &Client,
    request: u64,
    node: HostId,
    (call, parameters): (SearchRequest, String),
    patience: Duration,
) -> Result<ApiAnswer, CallError> {
    let (index, query) = (call.index.to_string(), call.body.to_string());
    client.record(EventKind::SearchInvoked { request, index, query, parameters });
    let result = client.call_as(request, node, ApiCall::Search(call), patience).await;
    client.record(search_completed(request, &result));
    result
}

/// A request about one document is sent.
pub fn invoked(request: u64, asked: Asked) -> EventKind {
    let Asked { index, id, op, source, parameters } = asked;
    let (index, mut words, mut fields) = (index.to_string(), String::new(), String::new());
    let source = source.map(|source| {
        (words, fields) = (source.words, source.fields);
        Digest::of(source.text.as_bytes())
    });
    EventKind::DocInvoked { request, index, id, op, source, words, fields, parameters }
}

/// How a document request ended; `is_drawn`: the node that coordinated it gave the document its id.
pub fn completed(request: u64, is_drawn: bool, result: &Result<ApiAnswer, CallError>) -> EventKind {
    match result {
        Ok(ApiAnswer::Written(done)) => written(request, is_drawn, done),
        Ok(ApiAnswer::Got(answer)) => got(request, answer),
        Ok(_) => ended(request, Outcome::Ok, None),
        Err(error) => failed(request, error),
    }
}

/// What the client knows after a call that failed, and the error's type.
pub(super) fn failure(error: &CallError) -> (Outcome, Word) {
    match error {
        CallError::Refused(error) => refusal(error),
        CallError::NotSent => (Outcome::Failed, "connection_refused".into()),
        CallError::Lost => (Outcome::Unknown, "connection_lost".into()),
        CallError::TimedOut => (Outcome::Unknown, "timed_out".into()),
    }
}

fn refusal(error: &ApiError) -> (Outcome, Word) {
    (if error.certain { Outcome::Failed } else { Outcome::Unknown }, error.kind.clone())
}

/// A document request failed.
pub fn failed(request: u64, error: &CallError) -> EventKind {
    let (outcome, kind) = failure(error);
    ended(request, outcome, Some(kind))
}

/// An item of a request of several was refused.
pub fn refused(request: u64, error: &ApiError) -> EventKind {
    let (outcome, kind) = refusal(error);
    ended(request, outcome, Some(kind))
}

fn ended(request: u64, outcome: Outcome, error: Option<Word>) -> EventKind {
    EventKind::DocCompleted {
        request,
        outcome,
        seq_no: None,
        term: None,
        version: None,
        result: None,
        source: None,
        error,
        drawn: None,
    }
}

/// A write is acknowledged.
pub fn written(request: u64, is_drawn: bool, done: &WriteAnswer) -> EventKind {
    EventKind::DocCompleted {
        request,
        outcome: Outcome::Ok,
        seq_no: Some(done.seq_no),
        term: Some(done.term),
        version: Some(done.version),
        result: Some(done.result.name().into()),
        source: None,
        error: None,
        drawn: is_drawn.then(|| done.id.clone()),
    }
}

/// A get is answered.
pub fn got(request: u64, answer: &GetAnswer) -> EventKind {
    let Some(doc) = &answer.doc else { return ended(request, Outcome::Ok, None) };
    EventKind::DocCompleted {
        request,
        outcome: Outcome::Ok,
        seq_no: Some(doc.seq_no),
        term: Some(doc.term),
        version: Some(doc.version),
        result: None,
        source: Some(Digest::of(doc.source.as_bytes())),
        error: None,
        drawn: None,
    }
}

fn search_completed(request: u64, result: &Result<ApiAnswer, CallError>) -> EventKind {
    match result {
        Ok(ApiAnswer::Found(answer)) => found(request, answer),
        Ok(_) => no_search(request, Outcome::Unknown, None),
        Err(error) => {
            let (outcome, kind) = failure(error);
            no_search(request, outcome, Some(kind))
        }
    }
}

fn found(request: u64, answer: &SearchAnswer) -> EventKind {
    EventKind::SearchCompleted {
        request,
        outcome: Outcome::Ok,
        shards_successful: answer.shards_successful,
        shards_total: answer.shards_total,
        total: answer.total.as_ref().map_or(0, |total| total.value),
        hits: answer.hits.iter().map(|hit| hit.id.clone()).collect(),
        seen: answer.seen.clone(),
        timed_out: answer.timed_out,
        aggregations: answer.aggregations.clone().unwrap_or_default(),
        error: None,
    }
}

fn no_search(request: u64, outcome: Outcome, error: Option<Word>) -> EventKind {
    EventKind::SearchCompleted {
        request,
        outcome,
        shards_successful: 0,
        shards_total: 0,
        total: 0,
        hits: Vec::new(),
        seen: Vec::new(),
        timed_out: false,
        aggregations: String::new(),
        error,
    }
}

//! History — decides what is recorded of a client's request and of its answer: all that laws know of either. It
//! never decides what to ask.

use std::time::Duration;

use crate::{
    event::{Digest, DocOp, EventKind, Outcome},
    name::{HostId, IndexName},
    search::api::{ApiAnswer, ApiCall, GetAnswer, SearchRequest},
    sim::client::{CallError, Client},
};

/// What a request about one document asks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// On which index.
    pub index: IndexName,
    /// The document's id.
    pub id: String,
    /// What is asked.
    pub op: DocOp,
    /// What is written.
    pub source: Option<Source>,
}

/// A document that is written.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its JSON.
    pub text: String,
    /// The words in its field `body`, with blanks between.
    pub words: String,
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
    let Asked { index, id, op, source } = asked;
    let (source, words) = match source {
        Some(Source { text, words }) => (Some(Digest::of(text.as_bytes())), words),
        None => (None, String::new()),
    };
    let index = index.to_string();
    client.record(EventKind::DocInvoked { request, index, id, op, source, words });
    let result = client.call_as(request, node, call, patience).await;
    client.record(doc_completed(request, &result));
    result
}

/// Searches, and records the query and the answer.
///
/// # Errors
///
/// As [`Client::call`]'s.
pub async fn search(
    client: &Client,
    request: u64,
    node: HostId,
    call: SearchRequest,
    patience: Duration,
) -> Result<ApiAnswer, CallError> {
    let (index, query) = (call.index.to_string(), call.body.to_string());
    client.record(EventKind::SearchInvoked { request, index, query });
    let result = client.call_as(request, node, ApiCall::Search(call), patience).await;
    client.record(search_completed(request, &result));
    result
}

/// What the client knows after a call that failed.
fn outcome(error: &CallError) -> (Outcome, &'static str) {
    match error {
        CallError::Refused(error) if error.certain => (Outcome::Failed, ""),
        CallError::Refused(_) => (Outcome::Unknown, ""),
        CallError::NotSent => (Outcome::Failed, "connection_refused"),
        CallError::Lost => (Outcome::Unknown, "connection_lost"),
        CallError::TimedOut => (Outcome::Unknown, "timed_out"),
    }
}

/// How a document request ended, as the client knows it.
fn doc_completed(request: u64, result: &Result<ApiAnswer, CallError>) -> EventKind {
    let (outcome, error) = match result {
        Ok(_) => (Outcome::Ok, None),
        Err(CallError::Refused(error)) => {
            (outcome(&CallError::Refused(error.clone())).0, Some(error.kind.clone()))
        }
        Err(error) => {
            let (outcome, kind) = outcome(error);
            (outcome, Some(kind.into()))
        }
    };
    let (seq_no, term, version, result, source) = match result {
        Ok(ApiAnswer::Written(done)) => {
            (Some(done.seq_no), Some(done.term), Some(done.version), Some(done.result.name().into()), None)
        }
        Ok(ApiAnswer::Got(GetAnswer { doc: Some(doc), .. })) => {
            let source = Digest::of(doc.source.as_bytes());
            (Some(doc.seq_no), Some(doc.term), Some(doc.version), None, Some(source))
        }
        _ => (None, None, None, None, None),
    };
    EventKind::DocCompleted { request, outcome, seq_no, term, version, result, source, error }
}

fn search_completed(request: u64, result: &Result<ApiAnswer, CallError>) -> EventKind {
    match result {
        Ok(ApiAnswer::Found(answer)) => EventKind::SearchCompleted {
            request,
            outcome: Outcome::Ok,
            shards_successful: answer.shards_successful,
            shards_total: answer.shards_total,
            total: answer.total.as_ref().map_or(0, |total| total.value),
            hits: answer.hits.iter().map(|hit| hit.id.clone()).collect(),
            seen: answer.seen.clone(),
        },
        Ok(_) => search_failed(request, Outcome::Unknown),
        Err(error) => search_failed(request, outcome(error).0),
    }
}

fn search_failed(request: u64, outcome: Outcome) -> EventKind {
    EventKind::SearchCompleted {
        request,
        outcome,
        shards_successful: 0,
        shards_total: 0,
        total: 0,
        hits: Vec::new(),
        seen: Vec::new(),
    }
}

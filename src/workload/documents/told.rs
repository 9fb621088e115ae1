//! Told — decides what an answer tells the client that asked: the record of how its request ended. It never
//! guesses.

use crate::{
    event::{Digest, EventKind, Outcome, Word},
    search::api::{ApiAnswer, ApiError, GetAnswer, SearchAnswer, WriteAnswer},
    sim::client::CallError,
};

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

/// How a document request ended; `is_drawn`: the node that coordinated it gave the document its id.
pub(super) fn document(request: u64, is_drawn: bool, result: &Result<ApiAnswer, CallError>) -> EventKind {
    match result {
        Ok(ApiAnswer::Written(done)) => written(request, is_drawn, done),
        Ok(ApiAnswer::Got(got)) => self::got(request, got),
        Ok(_) => ended(request, Outcome::Ok, None),
        Err(error) => failed(request, error),
    }
}

/// A document request failed.
pub(super) fn failed(request: u64, error: &CallError) -> EventKind {
    let (outcome, kind) = failure(error);
    ended(request, outcome, Some(kind))
}

/// An item of a request of several was refused.
pub(super) fn refused(request: u64, error: &ApiError) -> EventKind {
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
pub(super) fn written(request: u64, is_drawn: bool, done: &WriteAnswer) -> EventKind {
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
pub(super) fn got(request: u64, answer: &GetAnswer) -> EventKind {
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

/// How a search ended.
pub(super) fn search(request: u64, result: Result<ApiAnswer, CallError>) -> EventKind {
    match result {
        Ok(ApiAnswer::Found(answer)) => found(request, answer),
        Ok(_) => no_search(request, Outcome::Unknown, None),
        Err(error) => {
            let (outcome, kind) = failure(&error);
            no_search(request, outcome, Some(kind))
        }
    }
}

fn found(request: u64, answer: SearchAnswer) -> EventKind {
    EventKind::SearchCompleted {
        request,
        outcome: Outcome::Ok,
        shards_successful: answer.shards_successful,
        shards_total: answer.shards_total,
        total: answer.total.map_or(0, |total| total.value),
        hits: answer.hits.into_iter().map(|hit| hit.id).collect(),
        seen: answer.seen,
        timed_out: answer.timed_out,
        aggregations: answer.aggregations.unwrap_or_default(),
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

//! Document requests — decides whether a write makes sense, and what is asked of the primary for it. It never looks
//! at a document.
//!
//! Rules and texts are those of Elasticsearch's `IndexRequest.validate`, `DeleteRequest.validate` and
//! `DocWriteRequest.validateSeqNoBasedCASParams`.

use crate::{
    name::{SeqNo, Term},
    search::{
        api::{ApiError, DeleteRequest, IndexRequest, OpType, UpdateRequest, VersionType, WriteOptions},
        shards::{Condition, WriteAction, WriteCall},
    },
};

/// The longest document id, in bytes.
const ID_BYTES_MAX: usize = 512;
/// `Versions.MATCH_ANY`: what Elasticsearch takes a missing version for.
const MATCH_ANY: i64 = -3;
/// `Versions.MATCH_DELETED`: only if there is no document.
const MATCH_DELETED: i64 = -4;
/// `SequenceNumbers.UNASSIGNED_SEQ_NO`.
const UNASSIGNED_SEQ_NO: i64 = -2;

/// Whether a request may go without an id.
pub(super) fn check_without_id(options: &WriteOptions) -> Result<(), ApiError> {
    let version = options.version.unwrap_or(MATCH_ANY);
    if options.version_type != VersionType::Internal || !matches!(version, MATCH_ANY | MATCH_DELETED) {
        return Err(ApiError::invalid(&["an id must be provided if version type or value are set"]));
    }
    Ok(())
}

/// What an index request asks of the primary.
pub(super) fn index(id: String, request: IndexRequest) -> Result<WriteCall, ApiError> {
    let IndexRequest { source, op_type, options, .. } = request;
    let numbers = Numbers::of(&options)?;
    if id.is_empty() {
        return Err(ApiError::illegal("if _id is specified it must not be empty"));
    }
    let problems = match op_type {
        OpType::Create => numbers.problem_of_create(options.version_type).map(str::to_owned),
        OpType::Index => None,
    };
    let mut problems = Vec::from_iter(problems);
    if problems.is_empty() {
        problems.extend(numbers.problems(options.version_type));
    }
    problems.extend(problem_of_id(&id));
    refuse(&problems)?;
    let call = WriteCall::index(id, source);
    Ok(match op_type {
        OpType::Create => WriteCall { condition: Condition::Missing, ..with(call, options, numbers) },
        OpType::Index => with(call, options, numbers),
    })
}

/// What a delete request asks of the primary.
pub(super) fn delete(request: DeleteRequest) -> Result<WriteCall, ApiError> {
    let DeleteRequest { id, options, .. } = request;
    let numbers = Numbers::of(&options)?;
    let missing = id.is_empty().then(|| "id is missing".to_owned());
    let mut problems = Vec::from_iter(missing);
    problems.extend(numbers.problems(options.version_type));
    problems.extend(problem_of_id(&id));
    refuse(&problems)?;
    Ok(with(WriteCall::delete(id), options, numbers))
}

/// What an update asks of the primary.
pub(super) fn update(request: UpdateRequest) -> Result<WriteCall, ApiError> {
    let numbers = Numbers::of(&request.options)?;
    let mut problems = request.problems();
    if problems.is_empty() {
        problems.extend(numbers.problems(request.options.version_type));
    }
    problems.extend(problem_of_id(&request.id));
    if request.id.is_empty() {
        problems.push("id is missing".to_owned());
    }
    refuse(&problems)?;
    let UpdateRequest { id, doc, upsert, detect_noop, options, .. } = request;
    let call =
        WriteCall { action: WriteAction::Update { doc, upsert, detect_noop }, ..WriteCall::delete(id) };
    Ok(with(call, options, numbers))
}

fn refuse(problems: &[String]) -> Result<(), ApiError> {
    if problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(problems)) }
}

fn problem_of_id(id: &str) -> Option<String> {
    let bytes = id.len();
    let text =
        || format!("id [{id}] is too long, must be no longer than {ID_BYTES_MAX} bytes but was: {bytes}");
    (bytes > ID_BYTES_MAX).then(text)
}

fn with(call: WriteCall, options: WriteOptions, numbers: Numbers) -> WriteCall {
    let condition = numbers.condition(options.version_type);
    let WriteOptions { routing, refresh, wait_for_active_shards: active_shards, .. } = options;
    WriteCall { routing: routing.map(Into::into), condition, refresh, active_shards, ..call }
}

/// The numbers of a write, with what stands for none.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    if_seq_no: Option<i64>,
    if_primary_term: Option<i64>,
    version: i64,
}

impl Numbers {
    fn of(options: &WriteOptions) -> Result<Self, ApiError> {
        let if_seq_no = options.if_seq_no.filter(|seq_no| *seq_no != UNASSIGNED_SEQ_NO);
        let if_primary_term = options.if_primary_term.filter(|term| *term != 0);
        if let Some(seq_no) = if_seq_no.filter(|seq_no| *seq_no < 0) {
            return Err(ApiError::illegal(format!("sequence numbers must be non negative. got [{seq_no}].")));
        }
        if let Some(term) = if_primary_term.filter(|term| *term < 0) {
            return Err(ApiError::illegal(format!("primary term must be non negative. got [{term}]")));
        }
        Ok(Self { if_seq_no, if_primary_term, version: options.version.unwrap_or(MATCH_ANY) })
    }

    fn problem_of_create(&self, version_type: VersionType) -> Option<&'static str> {
        if version_type != VersionType::Internal {
            Some("create operations only support internal versioning. use index instead")
        } else if !matches!(self.version, MATCH_ANY | MATCH_DELETED) {
            Some("create operations do not support explicit versions. use index instead")
        } else if self.if_seq_no.is_some() || self.if_primary_term.is_some() {
            Some("create operations do not support compare and set. use index instead")
        } else {
            None
        }
    }

    fn problems(&self, version_type: VersionType) -> Vec<String> {
        let Self { if_seq_no, if_primary_term, version } = *self;
        let internal = version_type == VersionType::Internal;
        let counts_for_nothing = matches!(version, MATCH_ANY | MATCH_DELETED);
        let legal = version >= 0 || internal && counts_for_nothing;
        let kind = upper_name(version_type);
        let mut problems = Vec::new();
        if !legal {
            problems.push(format!("illegal version value [{version}] for version type [{kind}]"));
        }
        if internal && !counts_for_nothing {
            let instead = "Please use `if_seq_no` and `if_primary_term` instead";
            let reason = "internal versioning can not be used for optimistic concurrency control.";
            problems.push(format!("{reason} {instead}"));
        }
        if if_seq_no.is_some() && (!internal || version != MATCH_ANY) {
            problems.push("compare and write operations can not use versioning".to_owned());
        }
        match (if_seq_no, if_primary_term) {
            (Some(_), None) => problems.push("ifSeqNo is set, but primary term is [0]".to_owned()),
            (None, Some(term)) => {
                problems.push(format!("ifSeqNo is unassigned, but primary term is [{term}]"));
            }
            _ => {}
        }
        problems
    }

    fn condition(self, version_type: VersionType) -> Condition {
        let Self { if_seq_no, if_primary_term, version } = self;
        match (if_seq_no.zip(if_primary_term), version_type) {
            (Some((seq_no, term)), _) => Condition::LastChangedBy(SeqNo(seq_no), Term(term as u64)),
            (None, VersionType::Internal) if version == MATCH_DELETED => Condition::Missing,
            (None, VersionType::Internal) => Condition::None,
            (None, external) => Condition::Version(version as u64, external),
        }
    }
}

fn upper_name(version_type: VersionType) -> &'static str {
    match version_type {
        VersionType::Internal => "INTERNAL",
        VersionType::External => "EXTERNAL",
        VersionType::ExternalGte => "EXTERNAL_GTE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(change: impl FnOnce(&mut WriteOptions)) -> WriteOptions {
        let mut options = WriteOptions::default();
        change(&mut options);
        options
    }

    fn put(op_type: OpType, options: WriteOptions) -> Result<WriteCall, ApiError> {
        let request = IndexRequest::new("articles".into(), "a", "{}".into());
        index("a".to_owned(), IndexRequest { op_type, options, ..request })
    }

    fn problem(result: Result<WriteCall, ApiError>) -> String {
        let error = result.unwrap_err();
        assert_eq!((error.status, error.certain), (400, true));
        let text = error.reason.strip_prefix("Validation Failed: ").unwrap_or(&error.reason).to_owned();
        let kind = if text == error.reason { "illegal_argument" } else { "action_request_validation" };
        assert_eq!(error.kind, format!("{kind}_exception"));
        text
    }

    /// "`if_seq_no`+`if_primary_term` (equality)", "external (>), external_gte (≥)".
    #[test]
    fn numbers_become_a_condition() {
        let cas = WriteOptions::if_last_changed_by(SeqNo(0), Term(2));
        let wanted = Condition::LastChangedBy(SeqNo(0), Term(2));
        assert_eq!(put(OpType::Index, cas).unwrap().condition, wanted);
        let external = options(|it| {
            (it.version, it.version_type) = (Some(0), VersionType::External);
        });
        let wanted = Condition::Version(0, VersionType::External);
        assert_eq!(put(OpType::Index, external).unwrap().condition, wanted);
        assert_eq!(put(OpType::Index, options(|_| {})).unwrap().condition, Condition::None);
        assert_eq!(put(OpType::Create, options(|_| {})).unwrap().condition, Condition::Missing);
    }

    #[test]
    fn negative_numbers_are_illegal() {
        let seq_no = options(|it| (it.if_seq_no, it.if_primary_term) = (Some(-1), Some(1)));
        assert_eq!(problem(put(OpType::Index, seq_no)), "sequence numbers must be non negative. got [-1].");
        let term = options(|it| (it.if_seq_no, it.if_primary_term) = (Some(1), Some(-1)));
        assert_eq!(problem(put(OpType::Index, term)), "primary term must be non negative. got [-1]");
    }

    #[test]
    fn half_of_a_condition_is_invalid() {
        let seq_no = options(|it| it.if_seq_no = Some(1));
        assert_eq!(problem(put(OpType::Index, seq_no)), "1: ifSeqNo is set, but primary term is [0];");
        let term = options(|it| it.if_primary_term = Some(3));
        let request = DeleteRequest { options: term, ..DeleteRequest::new("articles".into(), "a") };
        assert_eq!(problem(delete(request)), "1: ifSeqNo is unassigned, but primary term is [3];");
    }

    #[test]
    fn all_that_is_wrong_is_told_by_number() {
        let both = options(|it| {
            (it.if_seq_no, it.version, it.version_type) = (Some(1), Some(-7), VersionType::ExternalGte);
        });
        assert_eq!(
            problem(put(OpType::Index, both)),
            "1: illegal version value [-7] for version type [EXTERNAL_GTE]; 2: compare and write operations can \
             not use versioning; 3: ifSeqNo is set, but primary term is [0];"
        );
        let delete = delete(DeleteRequest {
            options: options(|it| it.version_type = VersionType::External),
            ..DeleteRequest::new("articles".into(), "")
        });
        assert_eq!(
            problem(delete),
            "1: id is missing; 2: illegal version value [-3] for version type [EXTERNAL];"
        );
    }

    #[test]
    fn internal_version_is_no_condition() {
        let versioned = options(|it| it.version = Some(4));
        assert_eq!(
            problem(put(OpType::Index, versioned)),
            "1: internal versioning can not be used for optimistic concurrency control. Please use `if_seq_no` and \
             `if_primary_term` instead;"
        );
    }

    #[test]
    fn create_takes_no_other_condition() {
        let cases = [
            (options(|it| it.version_type = VersionType::External), "only support internal versioning"),
            (options(|it| it.version = Some(1)), "do not support explicit versions"),
            (WriteOptions::if_last_changed_by(SeqNo(1), Term(1)), "do not support compare and set"),
        ];
        for (options, text) in cases {
            let wanted = format!("1: create operations {text}. use index instead;");
            assert_eq!(problem(put(OpType::Create, options)), wanted);
        }
    }

    #[test]
    fn version_needs_an_id() {
        let error = check_without_id(&options(|it| it.version = Some(1))).unwrap_err();
        let text = "Validation Failed: 1: an id must be provided if version type or value are set;";
        assert_eq!(error.reason, text);
        assert!(check_without_id(&WriteOptions::default()).is_ok());
    }

    #[test]
    fn senseless_ids_are_refused() {
        let request = |id: &str| IndexRequest::new("articles".into(), id, "{}".into());
        assert_eq!(problem(index(String::new(), request(""))), "if _id is specified it must not be empty");
        let long = "x".repeat(513);
        let text = format!("1: id [{long}] is too long, must be no longer than 512 bytes but was: 513;");
        assert_eq!(problem(index(long.clone(), request(&long))), text);
        assert!(index("x".repeat(512), request("x")).is_ok());
    }
}

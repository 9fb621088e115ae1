//! Aggregation — decides what is computed over the documents that match, by tantivy's own aggregations. It
//! never decides which match.
//!
//! A shard computes an intermediate result, which travels as bytes; the coordinating node merges those of all
//! shards and makes the final one of them.

use serde_json::{Map, Value, json};
use tantivy::{
    aggregation::{
        AggContextParams, AggregationLimitsGuard, DistributedAggregationCollector, agg_req,
        intermediate_agg_result::IntermediateAggregationResults,
    },
    collector::{Collector, SegmentCollector},
    tokenizer::TokenizerManager,
};

use super::{Failure, query::Matches, schema::VALUES, segment::Segment};
use crate::search::query::{Aggregation, Aggregations, keyword_of};

/// Buckets of one search at most (`search.max_buckets`).
const BUCKETS_MAX: u32 = 65_536;
/// Buckets of a `terms` aggregation where the request says nothing.
const TERMS_SIZE_DEFAULT: u64 = 10;

/// Computes over one segment after the other.
pub(super) struct Aggregator {
    collector: DistributedAggregationCollector,
    result: IntermediateAggregationResults,
}

impl Aggregator {
    /// Nothing computed yet.
    pub(super) fn new(aggregations: &Aggregations) -> Result<Self, Failure> {
        let context = AggContextParams::new(limits(), TokenizerManager::new());
        let collector =
            DistributedAggregationCollector::from_aggs(request(aggregations, Size::Shard)?, context);
        Ok(Self { collector, result: IntermediateAggregationResults::default() })
    }

    /// Takes up the matches of a segment.
    pub(super) fn add(&mut self, segment: &Segment, matches: &Matches) -> Result<(), Failure> {
        let mut part = self.collector.for_segment(0, &segment.reader)?;
        matches.iter().for_each(|(doc, score)| part.collect(*doc, *score));
        self.result.merge_fruits(part.harvest()?)?;
        Ok(())
    }

    /// The intermediate result.
    pub(super) fn finish(self) -> Result<Vec<u8>, Failure> {
        postcard::to_allocvec(&self.result).map_err(|error| Failure(error.to_string()))
    }
}

/// The final result, as Elasticsearch shows it, of the intermediate ones of all shards.
///
/// # Errors
///
/// If they do not fit together, or there are too many buckets.
pub fn reduce<'a>(
    aggregations: &Aggregations,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Result<Value, Failure> {
    let mut sum = IntermediateAggregationResults::default();
    for part in parts {
        let part: IntermediateAggregationResults =
            postcard::from_bytes(part).map_err(|error| Failure(error.to_string()))?;
        sum.merge_fruits(part)?;
    }
    let results = sum.into_final_result(request(aggregations, Size::All)?, limits())?;
    let mut results = serde_json::to_value(&results).map_err(|error| Failure(error.to_string()))?;
    shape(aggregations, &mut results);
    Ok(results)
}

fn limits() -> AggregationLimitsGuard {
    AggregationLimitsGuard::new(None, Some(BUCKETS_MAX))
}

/// How many buckets of `terms` are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// As many as each shard sends.
    Shard,
    /// All that the shards sent: which of equal ones are shown is decided by [`shape`].
    All,
}

fn request(aggregations: &Aggregations, size: Size) -> Result<agg_req::Aggregations, Failure> {
    let broken = |error: serde_json::Error| Failure(error.to_string());
    serde_json::from_value(as_tantivys(aggregations, size)).map_err(broken)
}

fn as_tantivys(aggregations: &Aggregations, size: Size) -> Value {
    let one = |(name, aggregation): (&String, &Aggregation)| {
        let mut params = aggregation.params.clone();
        let field = keyword_of(&aggregation.field).unwrap_or(&aggregation.field);
        params.insert("field".to_owned(), format!("{VALUES}.{field}").into());
        if aggregation.kind == "terms" {
            let wanted = wanted_size(aggregation);
            // Elasticsearch's `shard_size`: half as many again, and ten.
            let of_shard =
                params.remove("shard_size").and_then(|size| size.as_u64()).unwrap_or(wanted * 3 / 2 + 10);
            let of_shard = of_shard.max(wanted).min(u64::from(BUCKETS_MAX));
            params.insert("segment_size".to_owned(), of_shard.into());
            let shown = if size == Size::All { u64::from(BUCKETS_MAX) } else { of_shard };
            params.insert("size".to_owned(), shown.into());
        }
        let mut body = Map::new();
        body.insert(aggregation.kind.clone(), params.into());
        if !aggregation.sub.is_empty() {
            body.insert("aggs".to_owned(), as_tantivys(&aggregation.sub, size));
        }
        (name.clone(), Value::Object(body))
    };
    aggregations.iter().map(one).collect::<Map<_, _>>().into()
}

fn wanted_size(aggregation: &Aggregation) -> u64 {
    aggregation.params.get("size").and_then(Value::as_u64).unwrap_or(TERMS_SIZE_DEFAULT)
}

/// Brings what tantivy's results leave open into Elasticsearch's shape: buckets of `terms` that compare equal
/// come by key, and only as many as wanted are shown.
fn shape(aggregations: &Aggregations, results: &mut Value) {
    for (name, aggregation) in aggregations {
        let Some(result) = results.get_mut(name) else { continue };
        if aggregation.kind == "terms" {
            cut_terms(aggregation, result);
        }
        for bucket in buckets_of(result) {
            shape(&aggregation.sub, bucket);
        }
    }
}

fn buckets_of(result: &mut Value) -> Vec<&mut Value> {
    match result.get_mut("buckets") {
        Some(Value::Array(buckets)) => buckets.iter_mut().collect(),
        Some(Value::Object(buckets)) => buckets.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn cut_terms(aggregation: &Aggregation, result: &mut Value) {
    let count = |bucket: &Value| bucket["doc_count"].as_u64().unwrap_or(0);
    let Some(Value::Array(buckets)) = result.get_mut("buckets") else { return };
    if !aggregation.params.contains_key("order") {
        buckets.sort_by(|a, b| count(b).cmp(&count(a)).then_with(|| by_key(&a["key"], &b["key"])));
    }
    let wanted = wanted_size(aggregation) as usize;
    let cut: u64 = buckets.iter().skip(wanted).map(count).sum();
    buckets.truncate(wanted);
    let others = result["sum_other_doc_count"].as_u64().unwrap_or(0) + cut;
    result["sum_other_doc_count"] = json!(others);
    if result.get("doc_count_error_upper_bound").is_none_or(Value::is_null) {
        result["doc_count_error_upper_bound"] = json!(0);
    }
}

fn by_key(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        _ => {
            let number = |value: &Value| value.as_f64().unwrap_or(f64::MAX);
            number(left).total_cmp(&number(right))
        }
    }
}

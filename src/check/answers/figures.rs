//! Figures — decides, by a model of its own, what aggregations over documents come to. It never decides over which.

use std::{cmp::Reverse, collections::BTreeMap};

use serde_json::Value;

use super::wanted::Known;

/// Buckets that a `terms` aggregation shows where the request says nothing.
const TERMS_SHOWN: usize = 10;

/// An aggregation that the model understands.
#[derive(Debug)]
pub(super) enum Figure {
    /// Documents of each keyword, and what is asked of those.
    Terms(String, Figures),
    /// Count, least, most, sum and mean of a number.
    Stats(String),
    /// The most of a number.
    Max(String),
    /// Documents of each stretch of a number.
    Histogram(String, f64),
    /// Documents of each stretch of so many days.
    Days(String, u64),
    /// Documents in each range of a number.
    Ranges(String, Vec<(Option<f64>, Option<f64>)>),
}

/// Aggregations by their names.
pub(super) type Figures = BTreeMap<String, Figure>;

/// The aggregations of a request that the model understands.
pub(super) fn read(aggregations: &Value) -> Figures {
    let one = |(name, body): (&String, &Value)| Some((name.clone(), Figure::read(body)?));
    aggregations.as_object().into_iter().flatten().filter_map(one).collect()
}

impl Figure {
    fn read(body: &Value) -> Option<Self> {
        let body = body.as_object()?;
        let sub = body.get("aggs").map(read).unwrap_or_default();
        let (kind, params) = body.iter().find(|(name, _)| *name != "aggs")?;
        let field = params.get("field")?.as_str()?.to_owned();
        match kind.as_str() {
            // By another order than the usual one it is not understood.
            "terms" if params.get("order").is_none() => Some(Self::Terms(field, sub)),
            "stats" => Some(Self::Stats(field)),
            "max" => Some(Self::Max(field)),
            "histogram" => Some(Self::Histogram(field, params.get("interval")?.as_f64()?)),
            "date_histogram" => {
                let interval = params.get("fixed_interval")?.as_str()?;
                Some(Self::Days(field, interval.strip_suffix('d')?.parse().ok().filter(|days| *days > 0)?))
            }
            "range" => {
                let ranges = params.get("ranges")?.as_array()?.iter();
                let end = |range: &Value, name| range.get(name).and_then(Value::as_f64);
                Some(Self::Ranges(
                    field,
                    ranges.map(|range| (end(range, "from"), end(range, "to"))).collect(),
                ))
            }
            _ => None,
        }
    }

    /// What is wrong with a result over these documents.
    fn flaw(&self, docs: &[&Known], result: &Value) -> Option<String> {
        let numbers = |field: &str| docs.iter().filter_map(|doc| doc.number(field)).collect::<Vec<_>>();
        match self {
            Self::Terms(field, sub) => terms(field, sub, docs, result),
            Self::Stats(field) => stats(&numbers(field), result),
            Self::Max(field) => {
                let most = numbers(field).into_iter().reduce(f64::max);
                differs("value", most, result.get("value").and_then(Value::as_f64))
            }
            Self::Histogram(field, interval) => {
                let key = |number: f64| ((number / interval).floor() * interval) as i64;
                by_key(numbers(field).into_iter().map(key), result)
            }
            Self::Days(field, days) => {
                let span = (*days * MILLIS_OF_DAY) as i64;
                let moments = docs.iter().filter_map(|doc| january(doc.keyword(field)?));
                by_key(moments.map(|moment| moment.div_euclid(span) * span), result)
            }
            Self::Ranges(field, ranges) => {
                let numbers = numbers(field);
                ranges.iter().find_map(|(from, to)| {
                    let is_in = |number: &&f64| {
                        from.is_none_or(|from| **number >= from) && to.is_none_or(|to| **number < to)
                    };
                    let wanted = numbers.iter().filter(is_in).count() as u64;
                    let end = |bucket: &Value, name| bucket.get(name).and_then(Value::as_f64);
                    let told = buckets(result)
                        .find(|bucket| end(bucket, "from") == *from && end(bucket, "to") == *to);
                    let told = told.map_or(0, count);
                    (told != wanted).then(|| format!("{told} from {from:?} to {to:?}, but {wanted} are"))
                })
            }
        }
    }
}

/// What is wrong with the results of these aggregations over these documents.
pub(super) fn flaw(figures: &Figures, docs: &[&Known], results: &Value) -> Option<String> {
    figures.iter().find_map(|(name, figure)| {
        let flaw = match results.get(name) {
            None => Some("is missing".to_owned()),
            Some(result) => figure.flaw(docs, result),
        };
        flaw.map(|flaw| format!("aggregation {name}: {flaw}"))
    })
}

/// Milliseconds in a day.
const MILLIS_OF_DAY: u64 = 24 * 60 * 60 * 1_000;
/// The first of January 2024, in milliseconds since 1970.
const JANUARY: i64 = 1_704_067_200_000;

/// The moment of a whole hour in January 2024, in milliseconds since 1970: workloads write no other dates.
fn january(date: &str) -> Option<i64> {
    let (day, hour) = date.strip_prefix("2024-01-")?.strip_suffix(":00:00Z")?.split_once('T')?;
    let (day, hour): (i64, i64) = (day.parse().ok()?, hour.parse().ok()?);
    Some(JANUARY + ((day - 1) * 24 + hour) * 60 * 60 * 1_000)
}

/// What is wrong with the buckets of a histogram over documents of these keys.
fn by_key(keys: impl Iterator<Item = i64>, result: &Value) -> Option<String> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    let key = |bucket: &Value| bucket.get("key").and_then(Value::as_f64).map(|key| key as i64);
    let told = buckets(result).filter_map(|bucket| Some((key(bucket)?, count(bucket))));
    let told: BTreeMap<_, _> = told.filter(|(_, count)| *count > 0).collect();
    (told != counts).then(|| format!("{told:?} by key, but the documents are {counts:?}"))
}

fn buckets(result: &Value) -> impl Iterator<Item = &Value> {
    result.get("buckets").and_then(Value::as_array).into_iter().flatten()
}

fn count(bucket: &Value) -> u64 {
    bucket.get("doc_count").and_then(Value::as_u64).unwrap_or(0)
}

fn terms(field: &str, sub: &Figures, docs: &[&Known], result: &Value) -> Option<String> {
    let mut wanted: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
    for doc in docs {
        if let Some(keyword) = doc.keyword(field) {
            wanted.entry(keyword).or_default().push(doc);
        }
    }
    let order: Vec<_> = buckets(result)
        .filter_map(|bucket| Some((Reverse(count(bucket)), bucket.get("key")?.as_str()?)))
        .collect();
    if !order.is_sorted() {
        let order = order.into_iter().map(|(Reverse(count), key)| (key, count)).collect::<Vec<_>>();
        return Some(format!("{order:?} are neither by count nor, where that is equal, by keyword"));
    }
    // Of more keywords than are shown, which ones are depends on what each shard offered.
    if wanted.len() > TERMS_SHOWN {
        return None;
    }
    let told: BTreeMap<&str, &Value> =
        buckets(result).filter_map(|bucket| Some((bucket.get("key")?.as_str()?, bucket))).collect();
    let counts = |of: &BTreeMap<&str, &Value>| {
        of.iter().map(|(key, bucket)| ((*key).to_owned(), count(bucket))).collect::<BTreeMap<_, _>>()
    };
    let (told_counts, wanted_counts) = (
        counts(&told),
        wanted.iter().map(|(key, docs)| ((*key).to_owned(), docs.len() as u64)).collect::<BTreeMap<_, _>>(),
    );
    if told_counts != wanted_counts {
        return Some(format!("{told_counts:?} by keyword, but the documents are {wanted_counts:?}"));
    }
    wanted.iter().find_map(|(key, docs)| flaw(sub, docs, told.get(key)?))
}

fn stats(numbers: &[f64], result: &Value) -> Option<String> {
    let told = |name: &str| result.get(name).and_then(Value::as_f64);
    let count = numbers.len() as f64;
    let sum: f64 = numbers.iter().sum();
    let wanted = [
        ("count", Some(count)),
        ("sum", Some(sum)),
        ("min", numbers.iter().copied().reduce(f64::min)),
        ("max", numbers.iter().copied().reduce(f64::max)),
        ("avg", (count > 0.0).then(|| sum / count)),
    ];
    wanted.into_iter().find_map(|(name, wanted)| differs(name, wanted, told(name)))
}

// Sums are taken in the order of segments and shards, so the last bits may differ.
fn differs(name: &str, wanted: Option<f64>, told: Option<f64>) -> Option<String> {
    let same = match (wanted, told) {
        (Some(wanted), Some(told)) => (wanted - told).abs() <= 1e-9 * wanted.abs().max(1.0),
        (wanted, told) => wanted.is_none() == told.is_none(),
    };
    (!same).then(|| format!("{name} is {told:?}, but the documents make {wanted:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flaw_of(result: Value) -> Option<String> {
        let docs = [("owl", 7), ("owl", 12), ("fox", 60)].map(|(tag, n)| {
            let at = format!("2024-01-{:02}T06:00:00Z", n % 20 + 1);
            Known::new("", &json!({ "tag": tag, "n": n, "at": at }).to_string())
        });
        let figures = read(&json!({
            "tags": { "terms": { "field": "tag.keyword" }, "aggs": { "most": { "max": { "field": "n" } } } },
            "n": { "stats": { "field": "n" } },
            "weeks": { "date_histogram": { "field": "at", "fixed_interval": "7d" } },
            "spread": { "histogram": { "field": "n", "interval": 10 } },
            "halves": { "range": { "field": "n", "ranges": [{ "to": 50 }, { "from": 50 }] } },
        }));
        assert_eq!(figures.len(), 5);
        flaw(&figures, &docs.iter().collect::<Vec<_>>(), &result)
    }

    fn right() -> Value {
        json!({
            "tags": { "buckets": [
                { "key": "owl", "doc_count": 2, "most": { "value": 12.0 } },
                { "key": "fox", "doc_count": 1, "most": { "value": 60.0 } },
            ] },
            "n": { "count": 3, "sum": 79.0, "min": 7.0, "max": 60.0, "avg": 79.0 / 3.0 },
            "spread": { "buckets": [
                { "key": 0.0, "doc_count": 1 }, { "key": 10.0, "doc_count": 1 },
                { "key": 20.0, "doc_count": 0 }, { "key": 60.0, "doc_count": 1 },
            ] },
            // The first, the eighth and the thirteenth; weeks begin with a Thursday, as 1970 does.
            "weeks": { "buckets": [
                { "key": 1_703_721_600_000_i64, "doc_count": 1 },
                { "key": 1_704_326_400_000_i64, "doc_count": 1 },
                { "key": 1_704_931_200_000_i64, "doc_count": 1 },
            ] },
            "halves": { "buckets": [
                { "to": 50.0, "doc_count": 2 }, { "from": 50.0, "doc_count": 1 },
            ] },
        })
    }

    #[test]
    fn results_that_documents_make_are_right() {
        assert_eq!(flaw_of(right()), None);
    }

    #[test]
    fn keywords_come_by_count_and_those_of_equal_counts_by_name() {
        let docs = ["owl", "fox", "elk", "owl"].map(|tag| Known::new("", &json!({ "tag": tag }).to_string()));
        let figures = read(&json!({ "tags": { "terms": { "field": "tag.keyword" } } }));
        let flaw_of = |tags: [(&str, u64); 3]| {
            let buckets = tags.map(|(key, count)| json!({ "key": key, "doc_count": count }));
            flaw(&figures, &docs.iter().collect::<Vec<_>>(), &json!({ "tags": { "buckets": buckets } }))
        };
        assert_eq!(flaw_of([("owl", 2), ("elk", 1), ("fox", 1)]), None);
        for wrong in [[("owl", 2), ("fox", 1), ("elk", 1)], [("elk", 1), ("fox", 1), ("owl", 2)]] {
            assert!(flaw_of(wrong).unwrap_or_default().contains("neither by count"), "{wrong:?}");
        }
    }

    #[test]
    fn each_wrong_figure_is_found() {
        let wrong: [(&str, Value, &str); 7] = [
            ("/weeks/buckets/0/doc_count", json!(2), "aggregation weeks: "),
            ("/tags/buckets/0/doc_count", json!(3), "aggregation tags: "),
            ("/tags/buckets/1/most/value", json!(59), "aggregation most: value is Some(59.0)"),
            ("/n/avg", json!(26.0), "aggregation n: avg"),
            ("/n/min", json!(null), "aggregation n: min is None"),
            ("/spread/buckets/2/doc_count", json!(1), "aggregation spread: "),
            ("/halves/buckets/1/doc_count", json!(0), "aggregation halves: 0 from Some(50.0)"),
        ];
        for (place, value, flaw) in wrong {
            let mut result = right();
            *result.pointer_mut(place).unwrap() = value;
            let found = flaw_of(result).unwrap_or_default();
            assert!(found.contains(flaw), "{place}: {found}");
        }
    }
}

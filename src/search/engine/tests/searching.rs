//! Tests of what queries find, how hits are ordered, and what aggregations compute.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::search::query::Statistics;

/// Documents in three segments, one of them dead.
fn library() -> Engine {
    let mut engine = empty();
    let books = [
        json!({ "title": "The quick brown fox", "pages": 10, "genre": "fable", "rating": 4.5, "old": true }),
        json!({ "title": "Quick quick thinking", "pages": 250, "genre": "essay", "rating": 3.0, "old": false }),
        json!({ "title": "A lazy dog", "pages": 90, "genre": "fable", "author": { "name": "Ann Lee" } }),
        json!({ "title": "Brown dogs and a brown fox", "pages": [40, 41], "genre": "Fable" }),
        json!({ "title": "Gone" }),
    ];
    for (number, book) in books.iter().enumerate() {
        let source = book.to_string().into();
        engine.apply(&operation(
            number as i64,
            Action::Index { id: number.to_string(), source, routing: None },
        ));
        if number % 2 == 1 {
            engine.refresh(SeqNo(number as i64)).unwrap();
        }
    }
    engine.refresh(SeqNo(4)).unwrap();
    engine.apply(&delete(5, "4"));
    engine.refresh(SeqNo(5)).unwrap();
    engine
}

fn hits(engine: &Engine, query: Value) -> String {
    search(engine, json!({ "query": query })).1.join(" ")
}

/// Ids in the order of the index, whatever their scores.
fn ids_of(engine: &Engine, query: Value) -> String {
    search(engine, json!({ "query": query, "sort": "_doc" })).1.join(" ")
}

#[test]
fn queries_find_what_they_ask_for() {
    let engine = library();
    let cases = [
        (json!({ "match_all": {} }), "0 1 2 3"),
        (json!({ "match_none": {} }), ""),
        (json!({ "match": { "title": "QUICK dog" } }), "0 1 2"),
        (json!({ "match": { "title": { "query": "brown fox", "operator": "and" } } }), "0 3"),
        (json!({ "match": { "title": { "query": "quick brown dogs", "minimum_should_match": 2 } } }), "0 3"),
        (json!({ "match": { "pages": "90" } }), "2"),
        (json!({ "match_phrase": { "title": "brown fox" } }), "0 3"),
        (json!({ "match_phrase": { "title": "quick fox" } }), ""),
        (json!({ "match_phrase": { "title": { "query": "quick fox", "slop": 1 } } }), "0"),
        (json!({ "term": { "title": "fox" } }), "0 3"),
        (json!({ "term": { "title": "The" } }), ""),
        (json!({ "term": { "genre.keyword": "fable" } }), "0 2"),
        (json!({ "term": { "genre": "fable" } }), "0 2 3"),
        (json!({ "term": { "pages": 41 } }), "3"),
        (json!({ "term": { "old": true } }), "0"),
        (json!({ "term": { "_id": "3" } }), "3"),
        (json!({ "terms": { "genre.keyword": ["essay", "Fable"] } }), "1 3"),
        (json!({ "range": { "pages": { "gt": 40, "lte": 90 } } }), "2 3"),
        (json!({ "range": { "rating": { "gte": 3, "lt": 4.5 } } }), "1"),
        (json!({ "range": { "genre.keyword": { "gte": "F", "lt": "e" } } }), "3"),
        (json!({ "prefix": { "title": "do" } }), "2 3"),
        (json!({ "prefix": { "genre.keyword": "es" } }), "1"),
        (json!({ "exists": { "field": "author" } }), "2"),
        (json!({ "exists": { "field": "rating" } }), "0 1"),
        (json!({ "match": { "author.name": "lee" } }), "2"),
        (json!({ "ids": { "values": ["3", "0", "4", "9"] } }), "0 3"),
        (json!({ "multi_match": { "query": "fable lee", "fields": ["genre", "author.name"] } }), "0 2 3"),
        (json!({ "bool": { "must_not": { "term": { "title": "fox" } } } }), "1 2"),
        (
            json!({ "bool": { "must": { "match": { "title": "fox dog" } }, "filter": { "range": { "pages": { "gte": 20 } } } } }),
            "2 3",
        ),
        (
            json!({ "bool": { "should": [{ "term": { "title": "fox" } }, { "term": { "old": false } }], "minimum_should_match": 1 } }),
            "0 1 3",
        ),
        (json!({ "bool": { "filter": [], "must": [] } }), "0 1 2 3"),
    ];
    for (query, wanted) in cases {
        assert_eq!(ids_of(&engine, query.clone()), wanted, "{query}");
    }
}

#[test]
fn scores_add_up() {
    let engine = library();
    let score = |query: Value| search(&engine, json!({ "query": query })).0[0];
    let [quick, fox] = ["quick", "fox"].map(|word| score(json!({ "bool": { "must": { "match": { "title": word } }, "filter": { "ids": { "values": ["0"] } } } })));
    let both = score(
        json!({ "bool": { "must": { "match": { "title": "quick fox" } }, "filter": { "ids": { "values": ["0"] } } } }),
    );
    assert!((both - quick - fox).abs() < 1e-6);
    assert_eq!(
        score(json!({ "constant_score": { "filter": { "match": { "title": "fox" } }, "boost": 2.5 } })),
        2.5
    );
    assert_eq!(score(json!({ "bool": { "filter": { "term": { "title": "fox" } } } })), 0.0);
    assert_eq!(score(json!({ "bool": { "must_not": { "term": { "title": "fox" } } } })), 0.0);
    assert_eq!(score(json!({ "prefix": { "title": { "value": "fo", "boost": 3 } } })), 3.0);
}

#[test]
fn hits_are_ordered_as_asked() {
    let engine = library();
    let order = |sort: Value| search(&engine, json!({ "sort": sort })).1.join(" ");
    assert_eq!(order(json!(["pages"])), "0 3 2 1");
    assert_eq!(order(json!([{ "pages": "desc" }])), "1 2 3 0");
    assert_eq!(order(json!([{ "rating": "asc" }])), "1 0 2 3", "missing ones last, as they lie");
    assert_eq!(order(json!([{ "rating": { "order": "asc", "missing": "_first" } }])), "2 3 1 0");
    assert_eq!(order(json!([{ "rating": { "order": "asc", "missing": 4 } }])), "1 2 3 0");
    assert_eq!(order(json!(["genre.keyword", { "pages": "desc" }])), "3 1 2 0");
    let after = search(&engine, json!({ "sort": ["pages"], "search_after": [40] })).1;
    assert_eq!(after, ["2", "1"]);
    let page = found(&engine, json!({ "sort": ["pages"], "from": 1, "size": 2 }));
    assert_eq!(page.best.len(), 3, "a shard offers from + size");
}

#[test]
fn text_has_no_value_to_sort_by() {
    let body = query::read(r#"{"sort":["title"]}"#).unwrap();
    let Err(SearchFailure::Request(reason)) = library().find(&body, None) else { panic!() };
    assert!(reason.starts_with("Text fields are not optimised"), "{reason}");
}

#[test]
fn counting_can_stop_early() {
    let found = found(&library(), json!({ "terminate_after": 3, "size": 10 }));
    assert_eq!((found.total, found.best.len(), found.terminated_early), (3, 3, true));
}

#[test]
fn figures_of_all_shards_make_scores_equal() {
    let (few, many) =
        (filled([index(0, "1", "a b")]), filled((0..9).map(|n| index(n, &n.to_string(), "a b"))));
    let body = query::read(r#"{"query":{"match":{"text":"a"}}}"#).unwrap();
    let clause = body.query.clone().unwrap();
    let mut all = Statistics::default();
    all.add(&few.statistics(&clause).unwrap());
    all.add(&many.statistics(&clause).unwrap());
    let score = |engine: &Engine, all| engine.find(&body, all).unwrap().best[0].score;
    assert_ne!(score(&few, None), score(&many, None));
    assert_eq!(score(&few, Some(&all)), score(&many, Some(&all)));
}

/// Aggregations over several indices.
fn aggregated(engines: &[Engine], aggs: Value) -> Value {
    let body = query::read(&json!({ "size": 0, "aggs": aggs }).to_string()).unwrap();
    let parts: Vec<_> =
        engines.iter().map(|engine| engine.find(&body, None).unwrap().aggregations.unwrap()).collect();
    reduce(&body.aggregations, parts.iter().map(Vec::as_slice)).unwrap()
}

#[test]
fn aggregations_of_shards_are_merged() {
    let aggs = json!({
        "genres": {
            "terms": { "field": "genre.keyword", "size": 2 },
            "aggs": { "pages": { "avg": { "field": "pages" } } },
        },
        "pages": { "stats": { "field": "pages" } },
        "shelves": { "histogram": { "field": "pages", "interval": 100 } },
        "lengths": { "range": { "field": "pages", "ranges": [{ "to": 50 }, { "from": 50 }] } },
        "rated": { "value_count": { "field": "rating" } },
    });
    let result = aggregated(&[library(), empty(), library()], aggs);
    let bucket = |key: &str, count: u64, pages: f64| json!({ "key": key, "doc_count": count, "pages": { "value": pages } });
    assert_eq!(
        result["genres"],
        json!({
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": 2,
            "buckets": [bucket("fable", 4, 50.0), bucket("Fable", 2, 40.5)],
        })
    );
    assert_eq!(
        (
            &result["pages"]["count"],
            &result["pages"]["min"],
            &result["pages"]["max"],
            &result["pages"]["sum"]
        ),
        (&json!(10), &json!(10.0), &json!(250.0), &json!(862.0))
    );
    let counts = |buckets: &Value| -> Vec<u64> {
        buckets["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| bucket["doc_count"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(counts(&result["shelves"]), [6, 0, 2]);
    assert_eq!(result["rated"]["value"], json!(4.0));
    assert_eq!(counts(&result["lengths"]).iter().sum::<u64>(), 8);
}

#[test]
fn empty_index_finds_and_computes_nothing() {
    let engine = empty();
    assert_eq!(hits(&engine, json!({ "match": { "title": "fox" } })), "");
    assert_eq!(
        aggregated(&[empty()], json!({ "n": { "value_count": { "field": "x" } } }))["n"]["value"],
        json!(0.0)
    );
    assert!(engine.index.is_none(), "an empty index is nothing but its name");
}

#[test]
fn reader_shows_what_was_there_when_it_was_made() {
    let mut engine = filled([index(0, "1", "old")]);
    let best = found(&engine, json!({})).best;
    let reader = engine.reader(&best);
    for n in 1..40 {
        engine.apply(&index(n, "1", "new"));
        engine.refresh(SeqNo(n)).unwrap();
    }
    let fetched = reader.fetch(&best[0]).unwrap();
    assert_eq!((fetched.id.as_str(), fetched.source.as_str()), ("1", r#"{"text":"old"}"#));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a field is called, and whatever is compared: no query breaks an index.
    #[test]
    fn any_field_and_value_are_searched_without_panic(
        field in "[a-z.\\\\_*\u{0}é ]{0,6}|title|pages|title.keyword|_id",
        value in prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ],
    ) {
        let engine = library();
        for kind in ["match", "term", "prefix", "match_phrase"] {
            if let Ok(body) = query::read(&json!({ "query": { kind: { field.as_str(): value } } }).to_string()) {
                prop_assert!(engine.find(&body, None).is_ok());
            }
        }
        let rest = json!({
            "query": { "bool": { "should": [
                { "range": { field.as_str(): { "gte": value } } },
                { "exists": { "field": field } },
                { "terms": { field.as_str(): [value] } },
            ] } },
            "sort": [{ field.as_str(): "desc" }],
        });
        if let Ok(body) = query::read(&rest.to_string()) {
            let is_answered = engine.find(&body, None);
            prop_assert!(!matches!(is_answered, Err(SearchFailure::Index(_))), "{is_answered:?}");
        }
    }
}

/// Date detection: a string that is a date is found by ranges, sorts as a moment and falls into spans of time.
#[test]
fn dates_are_moments() {
    let mut engine = empty();
    for (number, at) in [(0, "2024-01-02"), (1, "2024-01-09T12:00:00Z"), (2, "2024-01-03T01:00:00+02:00")] {
        let (id, source) = (number.to_string(), json!({ "at": at }).to_string().into());
        engine.apply(&operation(number, Action::Index { id, source, routing: Some("r".into()) }));
    }
    engine.refresh(SeqNo(2)).unwrap();
    let ids = |body| search(&engine, body).1;
    let range = json!({ "range": { "at": { "gte": "2024-01-02T12:00:00Z", "lt": "2024-01-09" } } });
    assert_eq!(ids(json!({ "query": range })), ["2"]);
    assert_eq!(ids(json!({ "sort": [{ "at": "desc" }] })), ["1", "2", "0"]);
    let aggs = json!({ "weeks": { "date_histogram": { "field": "at", "fixed_interval": "7d" } } });
    let body = crate::search::query::read(&json!({ "size": 0, "aggs": aggs }).to_string()).unwrap();
    let part = engine.find(&body, None).unwrap().aggregations.unwrap();
    let result = crate::search::engine::reduce(&body.aggregations, [part.as_slice()].into_iter()).unwrap();
    let buckets: Vec<_> = result["weeks"]["buckets"].as_array().unwrap().iter().collect();
    let counts: Vec<_> =
        buckets.iter().map(|it| (it["key"].as_f64().unwrap() as i64, it["doc_count"].as_u64())).collect();
    assert_eq!(counts, [(1_703_721_600_000, Some(2)), (1_704_326_400_000, Some(1))]);
    assert_eq!(engine.get("0").unwrap().unwrap().routing.as_deref(), Some("r"));
}

//! Tests of queries.

use proptest::prelude::*;

use super::*;

fn query(text: &str) -> Clause {
    read(&format!(r#"{{"query":{text}}}"#)).unwrap().query.unwrap()
}

fn refused(body: &str) -> (&'static str, String) {
    let malformed = read(body).expect_err(body);
    (malformed.kind, malformed.reason)
}

fn refused_query(text: &str) -> (&'static str, String) {
    refused(&format!(r#"{{"query":{text}}}"#))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn empty_body_asks_for_everything() {
    assert_eq!(read("").unwrap(), SearchBody::default());
    assert_eq!(read(" {} ").unwrap(), SearchBody::default());
}

#[test]
fn match_is_read_in_both_forms() {
    let short = query(r#"{"match":{"title":"quick fox"}}"#);
    let wanted = Query::Match {
        field: "title".into(),
        text: text("quick fox"),
        operator: Operator::Or,
        minimum: None,
    };
    assert_eq!(short, Clause::plain(wanted));
    let long = query(
        r#"{"match":{"title":{"query":"a b","operator":"AND","boost":2,"minimum_should_match":"50%"}}}"#,
    );
    let Query::Match { operator, minimum, .. } = long.query else { panic!("{long:?}") };
    assert_eq!((operator, long.boost, minimum.unwrap().of(4)), (Operator::And, 2.0, 2));
}

#[test]
fn leaves_are_read() {
    assert_eq!(query(r#"{"match_all":{"boost":0.5}}"#), Clause { query: Query::MatchAll, boost: 0.5 });
    assert_eq!(
        query(r#"{"term":{"n":{"value":7}}}"#).query,
        Query::Term { field: "n".into(), value: Value::Long(7) }
    );
    assert_eq!(
        query(r#"{"terms":{"tag":["a",1.5,true]}}"#).query,
        Query::Terms { field: "tag".into(), values: vec![text("a"), Value::Double(1.5), Value::Bool(true)] }
    );
    let Query::Range { from, to, .. } = query(r#"{"range":{"n":{"gt":1,"lte":"z"}}}"#).query else {
        panic!()
    };
    assert_eq!(from, Some(Bound { value: Value::Long(1), inclusive: false }));
    assert_eq!(to, Some(Bound { value: text("z"), inclusive: true }));
    assert_eq!(
        query(r#"{"ids":{"values":["a",2]}}"#).query,
        Query::Ids { values: vec!["a".into(), "2".into()] }
    );
    assert_eq!(
        query(r#"{"match_phrase":{"t":{"query":"a b","slop":2}}}"#).query,
        Query::MatchPhrase { field: "t".into(), text: "a b".into(), slop: 2 }
    );
    let Query::MultiMatch { matches, .. } =
        query(r#"{"multi_match":{"query":"x","fields":["a^3","b"]}}"#).query
    else {
        panic!()
    };
    assert_eq!(matches.iter().map(|clause| clause.boost).collect::<Vec<_>>(), [3.0, 1.0]);
}

#[test]
fn bool_takes_one_clause_or_a_list() {
    let clause = query(
        r#"{"bool":{"must":{"match_all":{}},"should":[{"term":{"a":1}},{"term":{"a":2}}],"filter":[],
            "must_not":{"exists":{"field":"x"}},"minimum_should_match":-1,"boost":3}}"#,
    );
    let Query::Bool(parts) = clause.query else { panic!() };
    assert_eq!(
        (parts.must.len(), parts.should.len(), parts.filter.len(), parts.must_not.len(), clause.boost),
        (1, 2, 0, 1, 3.0)
    );
    assert_eq!(parts.minimum.unwrap().of(2), 1);
}

#[test]
fn the_rest_of_a_body_is_read() {
    let body = read(
        r#"{"from":5,"size":0,"timeout":"50ms","track_total_hits":7,"_source":false,"terminate_after":3,
            "sort":["_score",{"n":"desc"},{"k.keyword":{"order":"asc","missing":"_first"}}],"min_score":0.5}"#,
    )
    .unwrap();
    assert_eq!((body.from, body.size, body.terminate_after, body.window()), (5, 0, 3, 5));
    assert_eq!(body.timeout, Some(std::time::Duration::from_millis(50)));
    assert_eq!(body.track_total_hits, TrackTotalHits::UpTo(7));
    assert!(body.source.is_off());
    let orders: Vec<_> = body.sort.iter().map(|key| (key.by.clone(), key.order)).collect();
    assert_eq!(
        orders,
        [
            (SortBy::Score, Order::Descending),
            (SortBy::Field("n".into()), Order::Descending),
            (SortBy::Field("k.keyword".into()), Order::Ascending)
        ]
    );
    assert!(read(r#"{"sort":"_score"}"#).unwrap().is_by_score());
}

#[test]
fn unknown_query_is_answered_with_what_was_perhaps_meant() {
    assert_eq!(
        read(r#"{"query":{"mach":{"t":"x"}}}"#).unwrap_err(),
        Malformed {
            kind: "parsing_exception",
            reason: "unknown query [mach] did you mean [match]?".into(),
            at: Some((1, 18))
        }
    );
    assert_eq!(refused_query(r#"{"zzz":{}}"#).1, "unknown query [zzz]");
}

#[test]
fn malformed_queries_are_refused_as_elasticsearch_does() {
    let cases = [
        ("{}", "illegal_argument_exception", "query malformed, empty clause found"),
        (
            r#"{"match":"x"}"#,
            "parsing_exception",
            "[match] query malformed, no start_object after query name",
        ),
        (
            r#"{"match":{"a":"x","b":"y"}}"#,
            "parsing_exception",
            "[match] query doesn't support multiple fields, found [a] and [b]",
        ),
        (r#"{"match":{"a":["x"]}}"#, "parsing_exception", "[match] unknown token [START_ARRAY] after [a]"),
        (
            r#"{"match":{"a":{"query":"x","foo":1}}}"#,
            "parsing_exception",
            "[match] query does not support [foo]",
        ),
        (r#"{"match":{"a":{}}}"#, "parsing_exception", "No text specified for text query"),
        (r#"{"match":{}}"#, "illegal_argument_exception", "[match] requires fieldName"),
        (r#"{"term":{"a":[1]}}"#, "parsing_exception", "[term] query does not support array of values"),
        (r#"{"term":{"a":null}}"#, "illegal_argument_exception", "value cannot be null"),
        (r#"{"terms":{"a":1}}"#, "parsing_exception", "[terms] query does not support [a]"),
        (
            r#"{"terms":{"a":[1],"b":[2]}}"#,
            "parsing_exception",
            "[terms] query does not support multiple fields",
        ),
        (r#"{"range":{"a":{"above":1}}}"#, "parsing_exception", "[range] query does not support [above]"),
        (r#"{"exists":{}}"#, "parsing_exception", "[exists] must be provided with a [field]"),
        (r#"{"constant_score":{}}"#, "parsing_exception", "[constant_score] requires a 'filter' element"),
        (
            r#"{"match_phrase":{"a":{"query":"x","slop":-1}}}"#,
            "illegal_argument_exception",
            "No negative slop allowed.",
        ),
        (r#"{"match_all":{"x":1}}"#, "x_content_parse_exception", "[1:28] [match_all] unknown field [x]"),
        (r#"{"bool":{"foo":[]}}"#, "x_content_parse_exception", "[1:25] [bool] unknown field [foo]"),
        (
            r#"{"bool":{"must":[{"zzz":{}}]}}"#,
            "x_content_parse_exception",
            "[1:26] [bool] failed to parse field [must]",
        ),
        (
            r#"{"match_all":{},"term":{"a":1}}"#,
            "parsing_exception",
            "[match_all] malformed query, expected [END_OBJECT] but found [FIELD_NAME]",
        ),
        (
            r#"{"match":{"a":{"query":"x","boost":"much"}}}"#,
            "number_format_exception",
            "For input string: \"much\"",
        ),
    ];
    for (text, kind, reason) in cases {
        assert_eq!(refused_query(text), (kind, reason.to_owned()), "{text}");
    }
}

#[test]
fn malformed_bodies_are_refused_as_elasticsearch_does() {
    let cases = [
        ("[]", "parsing_exception", "Expected [START_OBJECT] but found [START_ARRAY]"),
        (r#"{"foo":{}}"#, "parsing_exception", "Unknown key for a START_OBJECT in [foo]."),
        (r#"{"query":[]}"#, "parsing_exception", "Unknown key for a START_ARRAY in [query]."),
        (r#"{"from":-1}"#, "illegal_argument_exception", "[from] parameter cannot be negative, found [-1]"),
        (r#"{"size":"x"}"#, "number_format_exception", "For input string: \"x\""),
        (
            r#"{"sort":[{"a":"up"}]}"#,
            "illegal_argument_exception",
            "No enum constant org.elasticsearch.search.sort.SortOrder.UP",
        ),
        (r#"{"aggs":{"a":{"zzz":{}}}}"#, "parsing_exception", "Unknown aggregation type [zzz]"),
        (
            r#"{"aggs":{"a":{"avgs":{"field":"n"}}}}"#,
            "parsing_exception",
            "Unknown aggregation type [avgs] did you mean [avg]?",
        ),
        (r#"{"aggs":{"a":{}}}"#, "parsing_exception", "Missing definition for aggregation [a]"),
        (
            r#"{"aggs":{"a":{"avg":{"feld":"n"}}}}"#,
            "x_content_parse_exception",
            "[1:29] [avg] unknown field [feld]",
        ),
        (
            r#"{"aggs":{"a":{"histogram":{"field":"n","interval":0}}}}"#,
            "illegal_argument_exception",
            "[interval] must be >0 for histogram aggregation",
        ),
        (
            r#"{"search_after":[1,2],"sort":["n"]}"#,
            "illegal_argument_exception",
            "search_after has 2 value(s) but sort has 1.",
        ),
    ];
    for (body, kind, reason) in cases {
        assert_eq!(refused(body), (kind, reason.to_owned()), "{body}");
    }
}

#[test]
fn deep_bools_are_refused() {
    let deep = |depth| {
        format!("{}{{\"match_all\":{{}}}}{}", r#"{"bool":{"must":"#.repeat(depth), "}}".repeat(depth))
    };
    assert!(read(&format!(r#"{{"query":{}}}"#, deep(29))).is_ok());
    assert_eq!(refused_query(&deep(31)).0, "x_content_parse_exception");
}

/// JSON of any shape, with the words of the language among its names.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(vec![
        "query",
        "match",
        "term",
        "terms",
        "bool",
        "must",
        "should",
        "filter",
        "range",
        "gte",
        "lt",
        "sort",
        "aggs",
        "size",
        "from",
        "field",
        "values",
        "value",
        "boost",
        "body",
        "operator",
        "order",
        "prefix",
        "ids",
        "exists",
        "avg",
        "_source",
        "minimum_should_match",
        "constant_score",
        "match_all",
        "match_phrase",
        "slop",
        "multi_match",
        "fields",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_json_is_read_or_refused(body in json()) {
        if let Err(malformed) = read(&body.to_string()) {
            prop_assert!(malformed.kind.ends_with("_exception") && !malformed.reason.is_empty());
        }
    }
}

//! Tests of the engine.

mod searching;

use serde_json::json;

use super::*;
use crate::search::query;

fn index(seq_no: i64, id: &str, text: &str) -> Operation {
    let source = serde_json::json!({ "text": text }).to_string();
    operation(seq_no, Action::Index { id: id.into(), source: source.into(), routing: None })
}

fn delete(seq_no: i64, id: &str) -> Operation {
    operation(seq_no, Action::Delete { id: id.into() })
}

fn operation(seq_no: i64, action: Action) -> Operation {
    Operation { seq_no: SeqNo(seq_no), term: Term(1), version: seq_no as u64 + 1, action }
}

fn empty() -> Engine {
    Engine::create("p/", AllocationId(1))
}

fn filled(operations: impl IntoIterator<Item = Operation>) -> Engine {
    let mut engine = empty();
    operations.into_iter().for_each(|operation| engine.apply(&operation));
    engine.refresh(SeqNo(99)).unwrap();
    engine
}

fn disk_after(disk: &mut Files, ops: Vec<DiskOp>) {
    for op in ops {
        match op {
            DiskOp::Append { file, bytes } => {
                let before = disk.get(&file).map(|held| held.to_vec()).unwrap_or_default();
                disk.insert(file, [&before[..], &bytes[..]].concat().into());
            }
            DiskOp::Replace { file, bytes } => {
                disk.insert(file, bytes);
            }
            DiskOp::Remove { file } => {
                disk.remove(&file);
            }
            DiskOp::Truncate { .. } => panic!("an engine never truncates"),
        }
    }
}

fn commit(engine: &mut Engine, max_seq_no: i64) {
    engine.prepare_commit(SeqNo(max_seq_no)).unwrap();
    engine.begin_publish();
    engine.name_commit();
    engine.published();
}

fn ids(engine: &Engine, words: &str) -> Vec<String> {
    search(engine, json!({ "query": { "match": { "text": words } } })).1
}

/// Scores and ids of the best, best first.
fn search(engine: &Engine, body: serde_json::Value) -> (Vec<f32>, Vec<String>) {
    let found = found(engine, body);
    let reader = engine.reader(&found.best);
    found.best.iter().map(|hit| (hit.score, reader.fetch(hit).unwrap().id)).unzip()
}

fn found(engine: &Engine, body: serde_json::Value) -> Found {
    engine.find(&query::read(&body.to_string()).unwrap(), None).unwrap()
}

#[derive(serde::Deserialize)]
struct Vectors {
    rows: Vec<Row>,
    deleted_documents_count: Divergence,
}

#[derive(serde::Deserialize)]
struct Row {
    source: String,
    docs: Vec<String>,
    query: String,
    #[serde(default)]
    is_phrase: bool,
    #[serde(default)]
    boost: Option<f32>,
    scores: Vec<f32>,
}

impl Row {
    fn query(&self) -> serde_json::Value {
        let kind = if self.is_phrase { "match_phrase" } else { "match" };
        json!({ kind: { "text": { "query": self.query, "boost": self.boost.unwrap_or(1.0) } } })
    }
}

#[derive(serde::Deserialize)]
struct Divergence {
    copy_a: f32,
    copy_b: f32,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/bm25_scores.json")).unwrap()
}

#[test]
fn scores_are_those_of_elasticsearch() {
    for row in vectors().rows {
        let engine = filled(row.docs.iter().zip(0..).map(|(text, n)| index(n, &n.to_string(), text)));
        let (scores, _) = search(&engine, json!({ "query": row.query() }));
        for (wanted, score) in row.scores.iter().zip(&scores) {
            assert!((wanted - score).abs() < 1e-5, "{}: {wanted} {score}", row.source);
        }
        assert!(scores.len() >= row.scores.len(), "{}", row.source);
    }
}

#[test]
fn deleted_documents_count_in_scores_until_merged() {
    let living = [index(0, "1", "w a b"), index(1, "2", "a b c"), index(2, "3", "a b c")];
    let dead = [index(3, "4", "w a b"), index(4, "5", "w a b")];
    let score = |engine: &Engine| search(engine, json!({ "query": { "match": { "text": "w" } } })).0[0];
    let copy_a = filled(living.clone());
    let mut copy_b = filled(living.into_iter().chain(dead));
    copy_b.apply(&delete(5, "4"));
    copy_b.apply(&delete(6, "5"));
    copy_b.refresh(SeqNo(99)).unwrap();
    let wanted = vectors().deleted_documents_count;
    assert!((score(&copy_a) - wanted.copy_a).abs() < 1e-5);
    assert!((score(&copy_b) - wanted.copy_b).abs() < 1e-5);
}

#[test]
fn search_sees_only_what_was_refreshed_and_get_sees_all() {
    let mut engine = filled([index(0, "1", "old")]);
    engine.apply(&index(1, "1", "new"));
    engine.apply(&index(2, "2", "new"));
    assert_eq!((ids(&engine, "old"), ids(&engine, "new")), (vec!["1".to_owned()], vec![]));
    assert_eq!(engine.get("2").unwrap().unwrap().seq_no, SeqNo(2));
    engine.refresh(SeqNo(99)).unwrap();
    assert_eq!(ids(&engine, "old"), Vec::<String>::new());
    assert_eq!(ids(&engine, "new"), vec!["1", "2"], "equal scores rank as they lie in the index");
    assert!(!engine.is_behind());
}

#[test]
fn older_operation_changes_nothing() {
    let mut engine = filled([index(5, "1", "newer"), delete(7, "2")]);
    engine.apply(&index(4, "1", "older"));
    engine.apply(&index(6, "2", "older"));
    engine.refresh(SeqNo(99)).unwrap();
    assert_eq!(ids(&engine, "older"), Vec::<String>::new());
    assert_eq!(engine.get("2").unwrap(), None);
    assert_eq!(engine.version("2").unwrap().seq_no, SeqNo(7));
}

#[test]
fn total_counts_all_and_hits_are_cut() {
    let engine = filled((0..5).map(|n| index(n, &n.to_string(), "w")));
    let words = |words: &str| found(&engine, json!({ "query": { "match": { "text": words } }, "size": 2 }));
    assert_eq!((words("w W").total, words("w W").best.len()), (5, 2));
    assert_eq!(words("…").total, 0, "no word matches nothing");
    let none = found(&engine, json!({ "size": 0 }));
    assert_eq!((none.total, none.best.len()), (5, 0));
}

#[test]
fn many_refreshes_are_merged_and_lose_nothing() {
    let mut engine = empty();
    for n in 0..60 {
        engine.apply(&index(n, &(n % 25).to_string(), &format!("w{n}")));
        engine.refresh(SeqNo(99)).unwrap();
        assert!(engine.segments.len() < 16);
    }
    let mut wanted: Vec<_> = (0..25).map(|n| n.to_string()).collect();
    wanted.sort();
    assert_eq!(engine.searchable(), wanted);
    assert_eq!(ids(&engine, "w59"), vec!["9"]);
    assert_eq!(engine.get("9").unwrap().unwrap().seq_no, SeqNo(59));
    assert_eq!(ids(&engine, "w34"), Vec::<String>::new(), "overwritten");
}

#[test]
fn equal_operations_give_equal_files() {
    let run = || {
        let mut engine = empty();
        for n in 0..40 {
            engine.apply(&index(n, &(n % 7).to_string(), &format!("word{n} common")));
            if n % 3 == 0 {
                engine.refresh(SeqNo(99)).unwrap();
            }
        }
        commit(&mut engine, 39);
        engine.drain()
    };
    assert_eq!(run(), run());
}

#[test]
fn commit_is_opened_again_with_tombstones() {
    let mut engine = filled([index(0, "1", "a"), index(1, "2", "b")]);
    engine.apply(&delete(2, "1"));
    engine.apply(&delete(3, "unknown"));
    commit(&mut engine, 3);
    let mut disk = Files::new();
    disk_after(&mut disk, engine.drain());
    let opened = Engine::open("p/", AllocationId(1), &disk).unwrap();
    assert_eq!(opened.held(), engine.held());
    assert_eq!(opened.searchable(), vec!["2"]);
    assert_eq!(opened.durable().unwrap().max_seq_no, SeqNo(3));
}

#[test]
fn refreshed_segments_without_a_commit_are_gone_after_a_restart() {
    let mut engine = filled([index(0, "1", "a")]);
    commit(&mut engine, 0);
    engine.apply(&index(1, "2", "b"));
    engine.refresh(SeqNo(99)).unwrap();
    let mut disk = Files::new();
    disk_after(&mut disk, engine.drain());
    // A torn segment of a refresh must not matter: no durable meta.json names it.
    let torn = disk.keys().rfind(|file| !file.ends_with("meta.json")).unwrap().clone();
    disk.insert(torn, (*b"t").into());
    let mut opened = Engine::open("p/", AllocationId(1), &disk).unwrap();
    assert_eq!(opened.searchable(), vec!["1"]);
    assert!(opened.drain().iter().all(|op| matches!(op, DiskOp::Remove { .. })));
    opened.apply(&index(1, "2", "c"));
    opened.refresh(SeqNo(99)).unwrap();
    assert_eq!(ids(&opened, "c"), vec!["2"]);
}

#[test]
fn rot_in_a_committed_segment_is_noticed() {
    let mut engine = filled([index(0, "1", "a")]);
    commit(&mut engine, 0);
    let mut disk = Files::new();
    disk_after(&mut disk, engine.drain());
    for (file, bytes) in disk.clone().into_iter().filter(|(file, _)| !file.ends_with("meta.json")) {
        let mut rotten = bytes.to_vec();
        rotten[0] ^= 1;
        let mut damaged = disk.clone();
        damaged.insert(file.clone(), rotten.into());
        assert!(Engine::open("p/", AllocationId(1), &damaged).is_err(), "{file}");
        damaged.remove(&file);
        assert!(Engine::open("p/", AllocationId(1), &damaged).is_err(), "{file}");
    }
}

#[test]
fn reset_goes_back_to_the_durable_commit() {
    let mut engine = filled([index(0, "1", "a")]);
    commit(&mut engine, 0);
    let held = engine.held();
    engine.apply(&index(1, "1", "b"));
    engine.apply(&index(2, "2", "b"));
    engine.prepare_commit(SeqNo(2)).unwrap();
    engine.reset().unwrap();
    assert_eq!(engine.held(), held);
    assert_eq!(ids(&engine, "a"), vec!["1"]);
    assert!(engine.candidate().is_none());
}

#[test]
fn files_of_a_commit_survive_later_merges() {
    let mut engine = empty();
    for n in 0..30 {
        engine.apply(&index(n, &n.to_string(), "w"));
        engine.refresh(SeqNo(99)).unwrap();
        if n == 5 {
            commit(&mut engine, 5);
        }
    }
    let mut disk = Files::new();
    disk_after(&mut disk, engine.drain());
    let opened = Engine::open("p/", AllocationId(1), &disk).unwrap();
    assert_eq!(opened.searchable().len(), 6);
}

#[test]
fn snapshot_is_installed_elsewhere() {
    let mut engine = filled([index(0, "1", "a"), delete(1, "2")]);
    commit(&mut engine, 1);
    let mut installed = Engine::install("q/", AllocationId(2), &engine.snapshot()).unwrap();
    assert_eq!(installed.held(), engine.held());
    assert!(!installed.files_to_sync().is_empty());
    assert_eq!(&*installed.name_commit(), "q/meta.json");
    installed.published();
    let mut disk = Files::new();
    disk_after(&mut disk, installed.drain());
    assert_eq!(Engine::open("q/", AllocationId(2), &disk).unwrap().held(), engine.held());
}

//! Comparison — decides where results differ from those of the real server, and says so. It never forgives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What is asked of zxids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zxids {
    /// The same offsets.
    Strict,
    /// The same order, and equality among all of the recording.
    Order,
}

/// Every place where what came differs from what the recording wants.
pub(crate) fn differences(wanted: &[Value], came: &[Value], zxids: Zxids) -> Vec<String> {
    let side = |results: &[Value]| Value::Array(results.to_vec());
    let (wanted, came) = (side(wanted), side(came));
    let mut found = Vec::new();
    match zxids {
        Zxids::Strict => compare("", &wanted, &came, &mut found),
        Zxids::Order => compare("", &ranked(&wanted), &ranked(&came), &mut found),
    }
    found
}

fn compare(place: &str, wanted: &Value, came: &Value, found: &mut Vec<String>) {
    match (wanted, came) {
        (Value::Object(wanted), Value::Object(came)) => {
            for key in wanted.keys().chain(came.keys()).collect::<BTreeSet<_>>() {
                match (wanted.get(key), came.get(key)) {
                    (Some(wanted), Some(came)) => compare(&format!("{place}.{key}"), wanted, came, found),
                    (Some(wanted), None) => found.push(format!("{place}.{key}: missing, want {wanted}")),
                    (None, Some(came)) => found.push(format!("{place}.{key}: unexpected {came}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(wanted), Value::Array(came)) if wanted.len() == came.len() => {
            for (at, (wanted, came)) in wanted.iter().zip(came).enumerate() {
                compare(&format!("{place}[{at}]"), wanted, came, found);
            }
        }
        _ if wanted == came => {}
        _ => found.push(format!("{place}: want {wanted} got {came}")),
    }
}

/// The results with every zxid replaced by its place among all of them.
fn ranked(results: &Value) -> Value {
    let mut zxids = BTreeMap::new();
    collect(results, &mut zxids);
    let mut sorted: Vec<_> = zxids.iter().collect();
    sorted.sort_by_key(|(_, key)| **key);
    let ranks = sorted.into_iter().enumerate().map(|(rank, (zxid, _))| (zxid.clone(), format!("r{rank}")));
    replaced(results, &ranks.collect())
}

fn collect(value: &Value, zxids: &mut BTreeMap<String, (i64, i64)>) {
    match value {
        Value::Object(fields) => fields.values().for_each(|value| collect(value, zxids)),
        Value::Array(items) => items.iter().for_each(|value| collect(value, zxids)),
        Value::String(text) => zxids.extend(key(text).map(|key| (text.clone(), key))),
        _ => {}
    }
}

fn replaced(value: &Value, ranks: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), replaced(value, ranks))).collect()
        }
        Value::Array(items) => items.iter().map(|value| replaced(value, ranks)).collect(),
        Value::String(text) => ranks.get(text).unwrap_or(text).clone().into(),
        other => other.clone(),
    }
}

/// Epochs after the base and counter (or offset) of a zxid's symbol: `z+N`, `e+KzN`.
fn key(symbol: &str) -> Option<(i64, i64)> {
    let signed = |text: &str| text.starts_with(['+', '-']).then(|| text.parse().ok()).flatten();
    match symbol.strip_prefix('e') {
        None => Some((0, signed(symbol.strip_prefix('z')?)?)),
        Some(rest) => {
            let (epochs, counter) = rest.split_once('z')?;
            let is_plain = counter.bytes().all(|digit| digit.is_ascii_digit());
            Some((signed(epochs)?, counter.parse().ok().filter(|_| is_plain)?))
        }
    }
}

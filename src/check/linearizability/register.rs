//! A register — the model that other checkers are tested with, and histories of it: published ones, and ones
//! made up from an order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::{Call, Model};

/// One value that can be read, written, and compared and set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Register {
    pub(super) initial: Option<i64>,
}

/// A call and its answer; a failed write is none, for it has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Read(Option<i64>),
    Write(Option<i64>),
    Cas(Option<i64>, Option<i64>),
    /// Elasticsearch's lock: taken by the first who asks.
    Lock(bool),
}

impl Model for Register {
    type Op = Op;
    type State = Option<i64>;

    fn initial(&self) -> Option<i64> {
        self.initial
    }

    fn step(&self, state: &Option<i64>, op: &Op) -> Option<Option<i64>> {
        match *op {
            Op::Read(shown) => (shown == *state).then_some(*state),
            Op::Write(value) => Some(value),
            Op::Cas(expected, value) => (*state == expected).then_some(value),
            Op::Lock(taken) => (taken == (*state == Some(0))).then_some(Some(1)),
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Read(_))
    }

    fn precedes(&self, _: &Op, _: &Op) -> bool {
        false
    }

    fn shows(&self, op: &Op, effect_of: &Op) -> bool {
        match (op, effect_of) {
            (Op::Read(shown) | Op::Cas(shown, _), Op::Write(value) | Op::Cas(_, value)) => shown == value,
            _ => false,
        }
    }
}

/// Whether any order will do, by trying them all.
pub(super) fn brute_force(model: &Register, calls: &[Call<Op>]) -> bool {
    fn go(model: &Register, state: Option<i64>, left: &[Call<Op>]) -> bool {
        let first_end = left.iter().filter_map(|call| call.returned).min();
        let Some(first_end) = first_end else { return true };
        (0..left.len()).filter(|next| left[*next].invoked <= first_end).any(|next| {
            let mut rest = left.to_vec();
            let call = rest.remove(next);
            model.step(&state, &call.op).is_some_and(|state| go(model, state, &rest))
        })
    }
    go(model, model.initial, calls)
}

/// Histories of up to `most` calls, each of which took effect at some time between its beginning and its end,
/// or never if it has no end.
pub(super) fn history(most: usize) -> impl Strategy<Value = Vec<Call<Op>>> {
    let call = (0..3u8, 0..4_i64, 0..4_i64, 0..30_u64, 0..30_u64, 0..8u8);
    prop::collection::vec(call, 0..most).prop_map(|made| {
        let mut state = Some(0);
        let mut calls = Vec::new();
        for ((kind, one, other, before, after, fate), nth) in made.into_iter().zip(10_u64..) {
            let (invoked, returned) = ((10 * nth).saturating_sub(before), 10 * nth + after);
            let (op, then) = match kind {
                0 => (Op::Read(state), state),
                1 => (Op::Write(Some(one)), Some(one)),
                _ if state == Some(one) => (Op::Cas(Some(one), Some(other)), Some(other)),
                _ => continue,
            };
            let never = fate == 0;
            let lost = fate <= 1 && !matches!(op, Op::Read(_));
            if !(never && lost) {
                state = then;
            }
            calls.push(Call { op, invoked, returned: (!lost).then_some(returned) });
        }
        calls
    })
}

/// A published history.
pub(super) struct Vector {
    pub(super) name: String,
    pub(super) model: Register,
    pub(super) calls: Vec<Call<Op>>,
    pub(super) linearizable: bool,
}

/// Those of `tests/vectors/linearizability_small.json`.
pub(super) fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../tests/vectors/linearizability_small.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let registers = all["histories"].as_array().unwrap().iter().map(|history| Vector {
        name: history["name"].as_str().unwrap().to_owned(),
        model: Register { initial: history["init"].as_i64() },
        calls: calls(history["events"].as_array().unwrap()),
        linearizable: history["linearizable"].as_bool().unwrap(),
    });
    let locks = all["lock_model_es"]["cases"].as_array().unwrap().iter().map(|case| {
        let events = case["events"].as_str().unwrap();
        Vector {
            name: events.to_owned(),
            model: Register { initial: Some(0) },
            calls: locks(events),
            linearizable: case["ok"].as_bool().unwrap(),
        }
    });
    registers.chain(locks).collect()
}

fn calls(events: &[Value]) -> Vec<Call<Op>> {
    let mut open: BTreeMap<i64, Call<Op>> = BTreeMap::new();
    let mut done = Vec::new();
    for (event, at) in events.iter().zip(0..) {
        let process = event["p"].as_i64().unwrap();
        let op = match (event["f"].as_str().unwrap(), &event["v"]) {
            ("read", value) => Op::Read(value.as_i64()),
            ("write", value) => Op::Write(value.as_i64()),
            ("cas", values) => Op::Cas(values[0].as_i64(), values[1].as_i64()),
            (other, _) => panic!("a register does not {other}"),
        };
        match event["t"].as_str().unwrap() {
            "invoke" => _ = open.insert(process, Call { op, invoked: at, returned: None }),
            "ok" => done.extend(open.remove(&process).map(|call| Call { op, returned: Some(at), ..call })),
            "fail" => _ = open.remove(&process),
            _ => done.extend(open.remove(&process)),
        }
    }
    done.extend(open.into_values());
    // A read that never returned says nothing.
    done.retain(|call| call.returned.is_some() || !matches!(call.op, Op::Read(_)));
    done
}

fn locks(events: &str) -> Vec<Call<Op>> {
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    let mut done = Vec::new();
    for (event, at) in events.split(", ").zip(0..) {
        let (process, what) = event.split_once(' ').unwrap();
        match what {
            "inv" => _ = open.insert(process, at),
            answer => {
                let invoked = open.remove(process).unwrap();
                done.push(Call { op: Op::Lock(answer == "true"), invoked, returned: Some(at) });
            }
        }
    }
    done
}

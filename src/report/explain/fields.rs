//! Fields — decides how the fields of an event stand in a line: names and numbers as laws write them, what identifies
//! first, hashes and lists last. It never decides which events are shown.

use serde_json::{Map, Value};

use crate::{
    event::EventKind,
    name::{AllocationId, RequestId, SessionId, Zxid},
};

/// What identifies, in the order in which it stands.
const FIRST: [&str; 21] = [
    "request",
    "shard",
    "id",
    "seq_no",
    "term",
    "sender_term",
    "allocation",
    "node",
    "session",
    "server",
    "resumed",
    "path",
    "act",
    "zxid",
    "xid",
    "op",
    "parameters",
    "index",
    "change",
    "file",
    "outcome",
];

/// Hashes: they tell two apart, and nothing else.
const HASHES: [&str; 3] = ["digest", "source", "value"];

/// A longer text, in characters, stands where lists do.
const TEXT_MAX: usize = 60;

/// The most members of a list that are shown.
const LISTED_MAX: usize = 3;

/// The fields of an event, by name.
pub(super) fn fields(kind: &EventKind) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(kind) else { return Map::new() };
    fields.remove("event");
    fields
}

/// The name of an event and its fields.
pub(super) fn plain(kind: &EventKind) -> String {
    let fields = in_words(&fields(kind));
    if fields.is_empty() { kind.name().to_owned() } else { format!("{} {fields}", kind.name()) }
}

/// Fields that say something, by name and with blanks between.
fn in_words(fields: &Map<String, Value>) -> String {
    let says = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let mut told: Vec<(&str, &Value)> =
        fields.iter().map(|(name, value)| (name.as_str(), value)).filter(|(_, value)| says(value)).collect();
    told.sort_by_key(|(name, value)| rank(name, value));
    let told = told.into_iter().map(|(name, value)| format!("{} {}", word(name), shown(name, value)));
    told.collect::<Vec<_>>().join(" ")
}

fn rank(name: &str, value: &Value) -> usize {
    let first = FIRST.iter().position(|known| *known == name);
    let composite = match value {
        Value::Array(_) | Value::Object(_) => 2,
        Value::String(text) if text.chars().count() > TEXT_MAX => 2,
        _ if HASHES.contains(&name) => 1,
        _ => 0,
    };
    first.unwrap_or(FIRST.len() + composite)
}

/// What laws and people call a field.
fn word(name: &str) -> &str {
    match name {
        "allocation" => "copy",
        "parameters" => "with",
        name => name,
    }
}

/// A value as its type displays it.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64().map_or(number.to_string(), |bits| numbered(name, bits)),
        Value::Array(list) => listed(name, list),
        Value::Object(fields) => format!("({})", in_words(fields)),
        other => other.to_string(),
    }
}

/// A number as its type displays it; ids and hashes are hexadecimal.
fn numbered(name: &str, bits: u64) -> String {
    match name {
        "request" => RequestId(bits).to_string(),
        "allocation" => AllocationId(bits).to_string(),
        "session" | "sessions" | "owner" | "ephemeral_owner" => SessionId(bits).to_string(),
        "zxid" | "czxid" | "mzxid" | "pzxid" => Zxid(bits).to_string(),
        name if HASHES.contains(&name) => format!("{bits:016x}"),
        _ => bits.to_string(),
    }
}

fn listed(name: &str, list: &[Value]) -> String {
    let members = list.iter().take(LISTED_MAX).map(|member| shown(name, member)).collect::<Vec<_>>();
    match list.len() {
        all if all > LISTED_MAX => format!("[{} of {all}: {}, …]", LISTED_MAX, members.join(", ")),
        _ => format!("[{}]", members.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Act, Change, Digest, EventKind as E},
        name::{Epoch, SeqNo, Term},
    };

    #[test]
    fn event_without_fields_is_its_name() {
        assert_eq!(plain(&E::RunEnded), "RunEnded");
        assert_eq!(plain(&E::EpochAccepted { epoch: Epoch(3) }), "EpochAccepted epoch 3");
    }

    #[test]
    fn what_identifies_comes_first_and_as_laws_write_it() {
        let appended = E::ReplicaAppended {
            shard: "articles/0".parse().unwrap(),
            allocation: AllocationId(0x1_0000_0002),
            sender_term: Term(2),
            term: Term(1),
            seq_no: SeqNo(8),
            digest: Digest(0xfeed),
            global_checkpoint: SeqNo(-1),
        };
        assert_eq!(
            plain(&appended),
            "ReplicaAppended shard articles/0 seq_no 8 term 1 sender_term 2 copy 100000002 global_checkpoint -1 \
             digest 000000000000feed"
        );
    }

    #[test]
    fn long_list_comes_last_and_is_shortened() {
        let change = |number| Change { path: format!("/a/{number}"), act: Act::Deleted };
        let proposed = E::TxnProposed {
            zxid: Zxid::new(Epoch(1), 9),
            digest: Digest(1),
            session: SessionId(0x0300_0044_ac53_0003),
            xid: 4,
            op: "multi".into(),
            changes: (0..5).map(change).collect(),
        };
        assert_eq!(
            plain(&proposed),
            "TxnProposed session 0x3000044ac530003 zxid 0x100000009 xid 4 op multi digest 0000000000000001 changes \
             [3 of 5: (path /a/0 act deleted), (path /a/1 act deleted), (path /a/2 act deleted), …]"
        );
    }
}

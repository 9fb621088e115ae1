//! Subjects — decides what an event is about, and what a broken law is about: which operation, document, request,
//! session, znode, transaction, file, copy, shard or host. It never decides what is shown.
//!
//! What an event leaves out is looked up in the others: of which document an operation is, what a request has become,
//! whose session it is, whom a fault under way has hit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::fields;
use crate::{
    event::{Event, EventKind as E},
    name::{AllocationId, HostId, RequestId, SeqNo, SessionId, ShardId, Zxid},
};

/// Something that an event can be about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// An operation on a shard.
    Operation(ShardId, SeqNo),
    /// A document, with its index: `articles/doc-1`.
    Document(String),
    /// A client's request.
    Request(RequestId),
    /// A session of ZooKeeper.
    Session(SessionId),
    /// A znode.
    Path(String),
    /// A transaction.
    Zxid(Zxid),
    /// A file.
    File(String),
    /// A version of the cluster state.
    State(u64),
    /// A copy of a shard.
    Copy(AllocationId),
    /// A shard.
    Shard(ShardId),
    /// A host.
    Host(HostId),
}

impl Subject {
    /// Whether few events are about it.
    pub(super) fn is_narrow(&self) -> bool {
        !matches!(self, Self::Copy(_) | Self::Shard(_) | Self::Host(_))
    }
}

/// What the events of a record say of each other.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Documents by operation.
    documents: BTreeMap<(ShardId, SeqNo), String>,
    /// Shards by what a write did to a document.
    writes: BTreeMap<(String, SeqNo), ShardId>,
    /// What each request asked for, and which operation it has become.
    requests: BTreeMap<u64, (String, Option<SeqNo>)>,
    sessions: BTreeMap<SessionId, HostId>,
    struck: BTreeMap<u32, Vec<HostId>>,
    shards: BTreeSet<ShardId>,
}

impl Index {
    /// Of these events.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut index = Self::default();
        events.iter().for_each(|event| index.read(event));
        index
    }

    fn read(&mut self, event: &Event) {
        match &event.kind {
            E::PrimaryAppended { shard, seq_no, id, .. } if !id.is_empty() => {
                let document = format!("{}/{id}", shard.index);
                self.writes.insert((document.clone(), *seq_no), shard.clone());
                self.documents.insert((shard.clone(), *seq_no), document);
            }
            E::PrimaryActivated { shard, .. } => drop(self.shards.insert(shard.clone())),
            E::DocInvoked { request, index, id, .. } => {
                self.requests.insert(*request, (format!("{index}/{id}"), None));
            }
            E::DocCompleted { request, seq_no, drawn, .. } => {
                if let Some((document, number)) = self.requests.get_mut(request) {
                    *number = *seq_no;
                    drawn.iter().for_each(|id| document.push_str(id));
                }
            }
            E::ClientConnected { session, .. } => {
                event.host.map(|host| self.sessions.insert(*session, host));
            }
            E::FaultBegan { step, hosts, .. } => drop(self.struck.insert(*step, hosts.clone())),
            _ => {}
        }
    }

    /// What an event is about.
    pub(super) fn subjects(&self, event: &Event) -> BTreeSet<Subject> {
        let fields = fields(&event.kind);
        let mut found: BTreeSet<Subject> =
            fields.iter().flat_map(|(name, value)| self.of_field(name, value)).collect();
        found.extend(operation(&fields).map(|(shard, number)| Subject::Operation(shard, number)));
        self.look_up(&mut found);
        match &event.kind {
            E::SessionExpired { session } => {
                found.extend(self.sessions.get(session).copied().map(Subject::Host));
            }
            E::FaultEnded { step, .. } => {
                let struck = self.struck.get(step).into_iter().flatten();
                found.extend(struck.copied().map(Subject::Host));
            }
            E::StatePublished { version, .. }
            | E::StateApplied { version, .. }
            | E::ChangesAnnounced { version, .. }
            | E::NodeLagging { version, .. } => drop(found.insert(Subject::State(*version))),
            _ => {}
        }
        if !speaks_of_others(&event.kind) {
            found.extend(event.host.map(Subject::Host));
        }
        found
    }

    fn of_field(&self, name: &str, value: &Value) -> Vec<Subject> {
        let text = value.as_str().filter(|text| !text.is_empty());
        let number = value.as_u64();
        let one = match name {
            "shard" => text.and_then(|text| text.parse().ok()).map(Subject::Shard),
            "node" => text.and_then(|text| text.parse().ok()).map(Subject::Host),
            "path" | "group" | "topic" => text.map(|text| Subject::Path(text.to_owned())),
            "file" => text.map(|text| Subject::File(text.to_owned())),
            "allocation" => number.map(|bits| Subject::Copy(AllocationId(bits))),
            "session" => number.filter(|bits| *bits > 0).map(|bits| Subject::Session(SessionId(bits))),
            "zxid" => number.map(|bits| Subject::Zxid(Zxid(bits))),
            "request" => number.map(|bits| Subject::Request(RequestId(bits))),
            _ => None,
        };
        let several = match (name, value) {
            ("why" | "what", Value::String(text)) => self.of_text(text),
            ("hosts" | "shards", Value::Array(list)) => {
                let names = list.iter().filter_map(Value::as_str);
                names.flat_map(|name| self.of_text(name)).collect()
            }
            ("changes", Value::Array(list)) => {
                let paths = list.iter().filter_map(|change| change.get("path")?.as_str());
                paths.map(|path| Subject::Path(path.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        one.into_iter().chain(several).collect()
    }

    /// Shards and hosts that a sentence names.
    fn of_text(&self, text: &str) -> Vec<Subject> {
        let shard = |word: &str| {
            let shard = word.parse().ok().filter(|shard| self.shards.contains(shard));
            shard.map(Subject::Shard)
        };
        let host = |word: &str| word.parse().ok().map(Subject::Host);
        words(text).iter().filter_map(|word| shard(word).or_else(|| host(word))).collect()
    }

    /// Adds the document of an operation, and the document and operation of a request.
    fn look_up(&self, found: &mut BTreeSet<Subject>) {
        let document = found.iter().find_map(|subject| match subject {
            Subject::Operation(shard, number) => self.documents.get(&(shard.clone(), *number)),
            _ => None,
        });
        let asked = found.iter().find_map(|subject| match subject {
            Subject::Request(request) => self.requests.get(&request.0),
            _ => None,
        });
        let write = asked.and_then(|(document, number)| {
            let number = (*number)?;
            Some(Subject::Operation(self.writes.get(&(document.clone(), number))?.clone(), number))
        });
        let documents = document.into_iter().chain(asked.map(|(document, _)| document));
        found.extend(documents.cloned().map(Subject::Document).chain(write).collect::<Vec<_>>());
    }
}

/// The operation of a copy's event.
fn operation(fields: &Map<String, Value>) -> Option<(ShardId, SeqNo)> {
    let shard = fields.get("shard")?.as_str()?.parse().ok()?;
    Some((shard, SeqNo(fields.get("seq_no")?.as_i64()?)))
}

/// Whether an event says nothing of the host that tells it.
fn speaks_of_others(kind: &E) -> bool {
    matches!(kind, E::SessionExpired { .. } | E::StatePublished { .. } | E::NodeLagging { .. })
}

/// The words of a sentence, without what is around them.
fn words(text: &str) -> Vec<&str> {
    let around = |char: char| "()[]{},;:.'`\"".contains(char);
    let words = text.split([' ', '\n', '=']).map(|word| word.trim_matches(around));
    words.filter(|word| !word.is_empty()).collect()
}

/// What a broken law is about: what its message names, and what the event that shows it is about.
#[derive(Debug, Default)]
pub(super) struct Matter {
    subjects: BTreeSet<Subject>,
    words: BTreeSet<String>,
    /// Numbers of operations that are named.
    operations: BTreeSet<i64>,
    /// Versions of cluster states that are named.
    states: BTreeSet<u64>,
    /// Whether the message names the document or the shard of its operations.
    is_placed: bool,
    /// Times that are named, as laws write them.
    times: BTreeSet<String>,
}

impl Matter {
    /// What the event that shows the break is about, and the message of the law.
    pub(super) fn of(index: &Index, event: &Event, why: &str) -> Self {
        let subjects = index.subjects(event);
        let list = words(why);
        let mut matter = Self {
            subjects,
            operations: numbers(&list, &["operation", "operations"]),
            states: numbers(&list, &["version", "state"]),
            ..Self::default()
        };
        matter.times = list.windows(2).filter(|pair| pair[1] == "s").map(|pair| pair[0].to_owned()).collect();
        matter.words = list.iter().map(|word| (*word).to_owned()).collect();
        matter.words.extend(list.windows(3).filter(|three| three[1] == "of").map(|three| three.join(" ")));
        matter.subjects.extend(index.of_text(why));
        let places = |subject: &Subject| matches!(subject, Subject::Shard(_) | Subject::Document(_));
        let is_document = |document: &String| matter.words.contains(document);
        matter.is_placed = matter.subjects.iter().any(places) || index.documents.values().any(is_document);
        matter
    }

    /// Whether this is one of its subjects; `beside` are those of the same event.
    pub(super) fn is_about(&self, subject: &Subject, beside: &BTreeSet<Subject>) -> bool {
        self.subjects.contains(subject) || self.names(subject, beside)
    }

    /// Whether its message names this; `beside` are the subjects of the same event.
    pub(super) fn names(&self, subject: &Subject, beside: &BTreeSet<Subject>) -> bool {
        let has = |word: String| self.words.contains(&word);
        match subject {
            Subject::Operation(shard, number) => {
                let is_here = |other: &Subject| match other {
                    Subject::Document(_) => self.is_about(other, &BTreeSet::new()),
                    _ => false,
                };
                let is_placed = beside.iter().any(is_here)
                    || self.subjects.contains(&Subject::Shard(shard.clone()))
                    || !self.is_placed;
                self.operations.contains(&number.0) && is_placed
            }
            Subject::Document(document) => {
                let id = document.split_once('/').map_or("", |(_, id)| id);
                let is_name = id.contains(|char: char| !char.is_ascii_digit());
                has(document.clone()) || (is_name && has(id.to_owned()))
            }
            Subject::Request(request) => {
                let operation = request.operation();
                operation.is_some_and(|(client, number, _)| has(format!("{number} of {client}")))
            }
            Subject::Session(session) => has(session.to_string()),
            Subject::Path(path) => has(path.clone()),
            Subject::Zxid(zxid) => has(zxid.to_string()),
            Subject::File(file) => {
                has(file.clone()) || file.rsplit('/').next().is_some_and(|name| has(name.into()))
            }
            Subject::State(version) => self.states.contains(version),
            // Of a test, copies have numbers like anything else.
            Subject::Copy(copy) => copy.0 > u64::from(u32::MAX) && has(copy.to_string()),
            Subject::Shard(_) | Subject::Host(_) => false,
        }
    }

    /// Whether the message names the time of an event.
    pub(super) fn is_when(&self, event: &Event) -> bool {
        self.times.contains(&format!("{:.3}", event.at.seconds()))
    }

    /// Adds what is known to belong to it.
    pub(super) fn extend(&mut self, subjects: impl IntoIterator<Item = Subject>) {
        self.subjects.extend(subjects);
    }

    /// Whether it is about a shard.
    pub(super) fn has_shard(&self) -> bool {
        self.subjects.iter().any(|subject| matches!(subject, Subject::Shard(_)))
    }
}

/// The numbers that follow one of these words, `and` between them.
fn numbers<N: std::str::FromStr + Ord>(words: &[&str], after: &[&str]) -> BTreeSet<N> {
    let mut found = BTreeSet::new();
    let mut follows = false;
    for word in words {
        match word.parse() {
            Ok(number) if follows => drop(found.insert(number)),
            _ => follows = after.contains(word) || (follows && *word == "and"),
        }
    }
    found
}

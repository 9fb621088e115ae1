//! Records — decides how tests of laws make and doctor small records. It never runs anything, and is not
//! part of the library.
//!
//! [`Record::healthy`] is one whole run by hand in which every law holds; a test changes one thing in it,
//! or makes the few events it needs, and says which law must fail, and why.

mod healthy;

use crate::{
    check::{law::judge, verdict::Verdict},
    event::{Change, CopyState, Digest, DocOp, Event, EventKind, Outcome, Placement, ShardSeen, TxnRef},
    name::{AllocationId, Epoch, HostId, SeqNo, SessionId, ShardId, SimTime, Term, Zxid},
};

/// The one shard of most tests.
pub(super) const SHARD: &str = "articles/0";

/// The same, as a name.
pub(super) fn shard() -> ShardId {
    ShardId { index: "articles".into(), number: 0 }
}

/// A ZooKeeper server.
pub(super) fn zk(number: u16) -> HostId {
    HostId::zookeeper(number)
}

/// A search node.
pub(super) fn search(number: u16) -> HostId {
    HostId::search(number)
}

/// The one client.
pub(super) fn client() -> HostId {
    HostId::client(1)
}

/// The transaction of this epoch and counter.
pub(super) fn txn(epoch: u32, counter: u32) -> TxnRef {
    let zxid = Zxid::new(Epoch(epoch), counter);
    TxnRef { zxid, digest: Digest(zxid.0 ^ 0x5555) }
}

/// The event that this transaction was proposed, by nobody in particular.
pub(super) fn proposed(TxnRef { zxid, digest }: TxnRef, changes: Vec<Change>) -> EventKind {
    EventKind::TxnProposed { zxid, digest, session: SessionId::NONE, xid: 0, op: "multi".into(), changes }
}

/// The event that this copy of the one shard numbered an operation as the primary of a term.
pub(super) fn numbered((allocation, term): (u64, u64), seq_no: i64, digest: u64) -> EventKind {
    EventKind::PrimaryAppended {
        shard: shard(),
        allocation: AllocationId(allocation),
        term: Term(term),
        seq_no: SeqNo(seq_no),
        digest: Digest(digest),
        id: String::new(),
        source: None,
    }
}

/// A record under construction. Each event comes a millisecond after the one before.
#[derive(Default, Clone)]
pub(super) struct Record {
    pub(super) events: Vec<Event>,
    at: SimTime,
}

impl Record {
    fn note(&mut self, host: Option<HostId>, kind: EventKind) -> &mut Self {
        self.at.0 += 1_000_000;
        let seq = self.events.len() as u64;
        self.events.push(Event { seq, at: self.at, host, kind });
        self
    }

    /// Adds an event of this host.
    pub(super) fn on(&mut self, host: HostId, kind: EventKind) -> &mut Self {
        self.note(Some(host), kind)
    }

    /// Adds an event of the world.
    pub(super) fn world(&mut self, kind: EventKind) -> &mut Self {
        self.note(None, kind)
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, millis: u64) -> &mut Self {
        self.at.0 += millis * 1_000_000;
        self
    }

    // ---- what clients do ----

    fn invoke(&mut self, request: u64, id: &str, op: DocOp, source: Option<u64>) -> &mut Self {
        let (index, id, source) = ("articles".to_owned(), id.to_owned(), source.map(Digest));
        self.on(
            client(),
            EventKind::DocInvoked {
                request,
                index,
                id,
                op,
                source,
                words: String::new(),
                fields: String::new(),
                parameters: String::new(),
            },
        )
    }

    /// A client sends a write; no source: a delete.
    pub(super) fn write(&mut self, request: u64, id: &str, source: Option<u64>) -> &mut Self {
        self.invoke(request, id, if source.is_some() { DocOp::Index } else { DocOp::Delete }, source)
    }

    /// A client sends a get.
    pub(super) fn get(&mut self, request: u64, id: &str) -> &mut Self {
        self.invoke(request, id, DocOp::Get, None)
    }

    /// A request ends; `found`: source, number, term.
    pub(super) fn complete(
        &mut self,
        request: u64,
        outcome: Outcome,
        found: Option<(Option<u64>, i64, u64)>,
    ) -> &mut Self {
        let (seq_no, term) =
            (found.map(|(_, seq_no, _)| SeqNo(seq_no)), found.map(|(_, _, term)| Term(term)));
        let source = found.and_then(|(source, _, _)| source).map(Digest);
        self.on(
            client(),
            EventKind::DocCompleted {
                request,
                outcome,
                seq_no,
                term,
                version: None,
                result: None,
                source,
                error: None,
                drawn: None,
            },
        )
    }

    /// A write is acknowledged.
    pub(super) fn acknowledge(&mut self, request: u64, seq_no: i64, term: u64) -> &mut Self {
        self.complete(request, Outcome::Ok, Some((None, seq_no, term)))
    }

    /// A get is answered with source, number, term; or with nothing found.
    pub(super) fn got(&mut self, request: u64, found: Option<(u64, i64, u64)>) -> &mut Self {
        self.complete(request, Outcome::Ok, found.map(|(source, seq_no, term)| (Some(source), seq_no, term)))
    }

    /// A client sends a document without an id.
    pub(super) fn add(&mut self, request: u64, source: u64) -> &mut Self {
        self.invoke(request, "", DocOp::Add, Some(source))
    }

    /// A request is acknowledged that was given this id.
    pub(super) fn added(&mut self, request: u64, id: &str, (seq_no, term): (i64, u64)) -> &mut Self {
        self.acknowledge(request, seq_no, term);
        if let Some(Event { kind: EventKind::DocCompleted { drawn, .. }, .. }) = self.events.last_mut() {
            *drawn = Some(id.to_owned());
        }
        self
    }

    /// The request that was sent last was sent with these parameters.
    pub(super) fn with(&mut self, asked_with: &str) -> &mut Self {
        if let Some(Event { kind: EventKind::DocInvoked { parameters, .. }, .. }) = self.events.last_mut() {
            *parameters = asked_with.to_owned();
        }
        self
    }

    /// A client sends a search.
    pub(super) fn searched(&mut self, request: u64, query: &str, parameters: &str) -> &mut Self {
        let (index, query, parameters) = ("articles".into(), query.to_owned(), parameters.to_owned());
        self.on(client(), EventKind::SearchInvoked { request, index, query, parameters })
    }

    /// A search is answered by the shards that are said to have seen something, and no others.
    pub(super) fn found(
        &mut self,
        request: u64,
        total: u64,
        hits: &[&str],
        seen: Vec<ShardSeen>,
    ) -> &mut Self {
        let shards = seen.len().max(1) as u32;
        self.on(
            client(),
            EventKind::SearchCompleted {
                request,
                outcome: Outcome::Ok,
                shards_successful: shards,
                shards_total: shards,
                total,
                hits: hits.iter().map(|hit| (*hit).to_owned()).collect(),
                seen,
                timed_out: false,
                aggregations: String::new(),
                error: None,
            },
        )
    }

    // ---- what copies do ----

    /// Copy 1 of the one shard, on `search-1`, numbers an operation on this document as the primary; no source: a
    /// delete, and of no document: a gap that is filled.
    pub(super) fn appended(
        &mut self,
        (term, seq_no): (u64, i64),
        id: &str,
        source: Option<u64>,
    ) -> &mut Self {
        let mut kind = numbered((1, term), seq_no, term << 32 | seq_no as u64);
        if let EventKind::PrimaryAppended { id: named, source: put, .. } = &mut kind {
            (*named, *put) = (id.to_owned(), source.map(Digest));
        }
        self.on(search(1), kind)
    }

    // ---- what the controller does ----

    /// A state of epoch 1 in which these copies of the one shard are on nodes of their own numbers.
    pub(super) fn publish(&mut self, host: HostId, version: u64, copies: &[(u64, CopyState)]) -> &mut Self {
        let placement = |(id, state): &(u64, CopyState)| Placement {
            shard: shard(),
            node: Some(search(*id as u16)),
            allocation: Some(AllocationId(*id)),
            primary: *id == 1,
            state: *state,
            in_sync: true,
            term: Term(1),
        };
        let routing = copies.iter().map(placement).collect();
        let (epoch, nodes, why) = (Epoch(1), vec![search(1), search(2), search(3)], String::new());
        let unlisted = Vec::new();
        self.on(host, EventKind::StatePublished { epoch, version, nodes, routing, unlisted, why })
    }

    // ---- doctoring ----

    /// The place of the `nth` event (from 0) that is such.
    pub(super) fn index(&self, nth: usize, is_such: impl Fn(&Event) -> bool) -> usize {
        let mut such = self.events.iter().enumerate().filter(|(_, event)| is_such(event));
        such.nth(nth).expect("the record has such an event").0
    }

    /// The place of the last event that is such.
    pub(super) fn last(&self, is_such: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().rposition(is_such).expect("the record has such an event")
    }

    /// The `nth` event (from 0) of such a kind.
    pub(super) fn nth(
        &mut self,
        nth: usize,
        is_such: impl Fn(&EventKind) -> bool,
    ) -> (usize, &mut EventKind) {
        let index = self.index(nth, |event| is_such(&event.kind));
        (index, &mut self.events[index].kind)
    }

    fn insert_event(&mut self, index: usize, host: Option<HostId>, kind: EventKind) {
        let at = self.events.get(index).or(self.events.last()).map_or(self.at, |event| event.at);
        self.events.insert(index, Event { seq: 0, at, host, kind });
    }

    /// Puts an event of this host there.
    pub(super) fn insert(&mut self, index: usize, host: HostId, kind: EventKind) {
        self.insert_event(index, Some(host), kind);
    }

    /// Puts an event of the world there.
    pub(super) fn insert_world(&mut self, index: usize, kind: EventKind) {
        self.insert_event(index, None, kind);
    }

    /// Puts all events of another record there.
    pub(super) fn splice(&mut self, index: usize, other: Self) {
        for event in other.events.into_iter().rev() {
            self.insert_event(index, event.host, event.kind);
        }
    }

    /// Lets the event there happen twice.
    pub(super) fn duplicate(&mut self, index: usize) {
        self.events.insert(index, self.events[index].clone());
    }

    // ---- judging ----

    /// The events, numbered as a run numbers them.
    pub(super) fn numbered(&self) -> Vec<Event> {
        let events = self.events.iter().cloned().zip(0..);
        events.map(|(event, seq)| Event { seq, ..event }).collect()
    }

    /// How this law judges the record.
    pub(super) fn verdict(&self, law: &str) -> Verdict {
        judge(&self.numbered(), &[law.to_owned()]).expect("tests name laws that exist").remove(0).verdict
    }

    /// The law holds.
    #[track_caller]
    pub(super) fn assert_passes(&self, law: &str) {
        assert_eq!(self.verdict(law), Verdict::Pass, "{law}");
    }

    /// The law is broken, the report says `why` among other things, and points at an event of the record.
    #[track_caller]
    pub(super) fn assert_fails(&self, law: &str, why: &str) {
        let verdict = self.verdict(law);
        let Verdict::Fail { seq, at, why: said } = &verdict else {
            panic!("{law} must fail with `{why}`, but: {verdict:?}");
        };
        assert!(said.contains(why), "{law} must fail with `{why}`, but: {said}");
        assert_eq!(self.events[*seq as usize].at, *at, "{law} must point at an event");
    }
}

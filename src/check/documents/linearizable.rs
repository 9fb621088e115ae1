//! Linearizable — decides whether each document behaved as one document does. It never looks at copies.

use std::collections::BTreeSet;

use super::{
    model::{Document, Op, Told, Tombstones},
    usurped::Usurped,
};
use crate::{
    check::{
        forfeit::Forfeit,
        history::{Before, Condition, Doc, Get, History, Operation},
        law::{Law, Monitor},
        linearizability::{Budget, Call, Found, check},
        verdict::{Judged, Point, broken, clock, listed, undecided},
    },
    event::{Digest, Event, EventKind},
    name::RequestId,
};

pub(in crate::check) const LINEARIZABLE: Law = Law {
    name: "documents.linearizable",
    sentence: "The writes of a document took effect in one order that agrees with time, with their numbers and with what \
               they asked of the document; under the read policies `primary` and `lease` so did its gets.",
    source: "Elasticsearch, optimistic concurrency control: if_seq_no and if_primary_term; its own \
             ConcurrentSeqNoVersioningIT; #19269, #52400",
    monitor: || Box::<Linearizable>::default(),
};

/// Allowed:
/// - a write whose end nobody knows may take effect at any time after it was sent, or never (data replication
///   model: it may be replicated, and be acknowledged or not, later);
/// - under the read policy `any`, every get: it is answered by one copy, which may lag or be ahead (#52400;
///   `documents.stale` and `documents.realtime` say what is left of it);
/// - under `lease`, a get while some node counts on a session that somebody else has closed ([`Usurped`]);
/// - whatever is said of a document that was given up: its index was deleted, or it was acknowledged unsynced
///   (`index.translog.durability: async`) before a node lost power.
///
/// A write that its client was told to have failed is not one of the calls: it has no effect, and that it failed
/// says nothing (a conflict may be with a write that nobody was told of).
#[derive(Default)]
struct Linearizable {
    history: History,
    forfeit: Forfeit,
    usurped: Usurped,
    gets_count: bool,
    /// When a copy forgot a tombstone for the first time.
    pruned_at: Option<u64>,
}

/// After so many documents whose budget was spent the others are not looked at: a run with hundreds of open writes on
/// each document would be judged for minutes, and be undecided in the end.
const SPENT_MAX: usize = 3;

/// What a write that nobody knows the end of is taken to have written, if no get shows it: any content will do for any
/// other, so that such writes are alike, and which of them took effect need not be tried.
const UNSEEN: Digest = Digest(0);

/// A call, and what reports need of it.
struct Asked {
    call: Call<Op>,
    /// What a write wrote.
    source: Option<Digest>,
    request: u64,
    sent: Point,
    ended: Option<Point>,
}

impl Asked {
    fn new(op: Op, request: u64, sent: Point, ended: Option<Point>) -> Self {
        let call = Call { op, invoked: sent.seq, returned: ended.map(|at| at.seq) };
        let source = if let Op::Write { source, .. } = op { source } else { None };
        Self { call, source, request, sent, ended }
    }

    /// The same, where no more is known of what it wrote than that it wrote.
    fn unseen(mut self, shown: &BTreeSet<Digest>) -> Self {
        if let (Op::Write { source: Some(source), .. }, None) = (&mut self.call.op, self.ended)
            && !shown.contains(source)
        {
            *source = UNSEEN;
        }
        self
    }

    fn text(&self) -> String {
        let by = |operation: Option<Operation>| {
            operation.map_or(String::new(), |(seq_no, term)| format!(" as operation {seq_no} of term {term}"))
        };
        let with =
            |version: Option<u64>| version.map_or(String::new(), |version| format!(", version {version}"));
        let what = match self.call.op {
            Op::Write { condition, told, .. } => {
                let what = self.source.map_or("deletes".into(), |digest| format!("writes {:016x}", digest.0));
                let condition = match condition {
                    Condition::Any => String::new(),
                    Condition::Missing => " if missing".into(),
                    Condition::Is((seq_no, term)) => format!(" if by operation {seq_no} of term {term}"),
                    Condition::Below(version) => format!(" with version {version}"),
                    Condition::UpTo(version) => format!(" with version {version} or again"),
                };
                let before = match told.before {
                    Before::Untold => "",
                    Before::Missing => ", where nothing was",
                    Before::There => ", where something was",
                };
                format!("{what}{condition}{}{}{before}", by(told.operation), with(told.version))
            }
            Op::Get { found: Some((digest, operation)), version } => {
                format!("gets {:016x}{}{}", digest.0, by(operation), with(version))
            }
            Op::Get { found: None, .. } => "gets nothing".into(),
        };
        let until = self.ended.map_or("no answer".into(), |at| clock(at.at));
        format!("request {} {what} ({} to {until})", RequestId(self.request), clock(self.sent.at))
    }
}

impl Linearizable {
    fn asked(&self, doc: &Doc) -> Vec<Asked> {
        let counts = |get: &&Get| self.gets_count && !self.usurped.excuses(get.sent, get.at);
        let gets = doc.gets.iter().filter(counts);
        let shown: BTreeSet<_> = gets.clone().filter_map(|get| Some(get.found?.0)).collect();
        let writes = doc.writes.iter().filter(|write| write.may_count()).map(|write| {
            let (operation, version, before) = (write.operation(), write.version, write.before);
            let told = Told { operation, version, before };
            let op = Op::Write { source: write.source, condition: write.condition, told };
            Asked::new(op, write.request, write.sent, write.acknowledged_at()).unseen(&shown)
        });
        let gets = gets.map(|get| {
            let op = Op::Get { found: get.found, version: get.version };
            Asked::new(op, get.request, get.sent, Some(get.at))
        });
        writes.chain(gets).collect()
    }

    /// What is wrong with a document, and where it shows.
    ///
    /// # Errors
    ///
    /// What of the budget ran out.
    fn flaw(&self, doc: &Doc) -> Result<Option<(Point, String)>, String> {
        let asked = self.asked(doc);
        let calls: Vec<_> = asked.iter().map(|asked| asked.call).collect();
        let name = format!("{}/{}", doc.index, doc.id);
        let is_pruned =
            |pruned| calls.iter().any(|call| call.returned.is_none_or(|returned| returned > pruned));
        let tombstones = match self.pruned_at {
            Some(pruned) if is_pruned(pruned) => Tombstones::Pruned,
            _ => Tombstones::Kept,
        };
        match check(&Document { tombstones }, &calls, Budget::default()) {
            Found::Order => Ok(None),
            Found::Spent { budget } => Err(format!("{budget}, for {name}")),
            Found::NoOrder { last, core } => {
                let mut core: Vec<_> = core.into_iter().map(|call| &asked[call]).collect();
                core.sort_by_key(|asked| asked.sent);
                let why = listed(core.into_iter().map(Asked::text), 12);
                let at = asked[last].ended.unwrap_or(asked[last].sent);
                Ok(Some((at, format!("no order of the requests for {name} explains their answers: {why}"))))
            }
        }
    }
}

impl Monitor for Linearizable {
    fn observe(&mut self, event: &Event) -> Judged {
        if let EventKind::RunStarted { read_policy, .. } = &event.kind {
            self.gets_count = matches!(read_policy.as_ref(), "primary" | "lease");
        }
        if matches!(event.kind, EventKind::TombstonesPruned { .. }) {
            self.pruned_at.get_or_insert(event.seq);
        }
        self.history.observe(event);
        self.forfeit.observe(event);
        self.usurped.observe(event);
        Ok(())
    }

    fn finish(&mut self) -> Judged {
        let docs = self.history.docs().iter().filter(|doc| self.forfeit.stands_by(doc));
        let (mut judged, mut spent) = (Vec::new(), 0);
        for doc in docs {
            let flaw = self.flaw(doc);
            spent += usize::from(flaw.is_err());
            judged.push(flaw);
            if spent == SPENT_MAX {
                break;
            }
        }
        let flaws = judged.iter().filter_map(|judged| judged.as_ref().ok()?.as_ref());
        if let Some((at, why)) = flaws.min_by_key(|(at, _)| *at) {
            return broken(*at, why.clone());
        }
        judged.into_iter().find_map(Result::err).map_or(Ok(()), undecided)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::record::{Record, client, search},
        event::{EventKind as E, Outcome},
        name::{AllocationId, HostId, RequestId, SeqNo, Term},
    };

    const LAW: &str = "documents.linearizable";

    fn run(read_policy: &'static str) -> Record {
        let mut record = Record::healthy();
        record.events.truncate(1);
        if let E::RunStarted { read_policy: policy, .. } = &mut record.events[0].kind {
            *policy = read_policy.into();
        }
        record
    }

    /// Elasticsearch #52400: a copy that lags answers after another one has shown the new content.
    fn going_back(read_policy: &'static str) -> Record {
        let mut record = run(read_policy);
        record.write(1, "a", Some(1)).acknowledge(1, 0, 1).write(2, "a", Some(2));
        record.get(3, "a").got(3, Some((2, 1, 1))).get(4, "a").got(4, Some((1, 0, 1)));
        record
    }

    #[test]
    fn read_that_goes_back_fails_unless_any_copy_may_answer() {
        for policy in ["primary", "lease"] {
            going_back(policy).assert_fails(
                LAW,
                "no order of the requests for articles/a explains their answers: request 1 writes 0000000000000001 as \
                 operation 0 of term 1 (",
            );
        }
        going_back("any").assert_passes(LAW);
    }

    #[test]
    fn requests_are_named_as_scenario_files_name_them() {
        let request = |number| RequestId::first(HostId::client(2), number).0;
        let mut record = run("primary");
        record.write(request(1), "a", Some(1)).acknowledge(request(1), 0, 1).write(request(2), "a", Some(2));
        record.get(request(3), "a").got(request(3), Some((2, 1, 1)));
        record.get(request(310) + 1, "a").got(request(310) + 1, Some((1, 0, 1)));
        record.assert_fails(
            LAW,
            "request 310 of client-2 (part 1) gets 0000000000000001 as operation 0 of term 1",
        );
    }

    #[test]
    fn version_that_begins_anew_fails_unless_a_tombstone_was_forgotten() {
        let told = |record: &mut Record, request, source, seq_no, version| {
            record.write(request, "a", source).acknowledge(request, seq_no, 1);
            if let Some(E::DocCompleted { version: told, .. }) =
                record.events.last_mut().map(|it| &mut it.kind)
            {
                *told = Some(version);
            }
        };
        let mut record = run("any");
        told(&mut record, 1, Some(1), 0, 1);
        told(&mut record, 2, None, 1, 2);
        let mut pruned = record.clone();
        told(&mut record, 3, Some(3), 2, 1);
        record.assert_fails(LAW, "no order of the requests for articles/a explains their answers");
        let (shard, allocation) = ("articles/0".parse().unwrap(), AllocationId(1));
        pruned.on(search(1), E::TombstonesPruned { shard, allocation, tombstones: 1 });
        told(&mut pruned, 3, Some(3), 2, 1);
        pruned.assert_passes(LAW);
    }

    #[test]
    fn read_of_a_write_that_failed_fails() {
        let mut record = run("lease");
        record.write(1, "a", Some(1)).get(2, "a").got(2, Some((1, 0, 1))).complete(1, Outcome::Failed, None);
        record.assert_fails(LAW, "request 2 gets 0000000000000001 as operation 0 of term 1");
    }

    #[test]
    fn write_that_nobody_knows_the_end_of_may_take_effect_late() {
        let mut record = run("lease");
        record.write(1, "a", Some(1)).complete(1, Outcome::Unknown, None);
        record.get(2, "a").got(2, None).write(3, "a", Some(3)).acknowledge(3, 0, 1);
        record.get(4, "a").got(4, Some((1, 1, 1))).get(5, "a").got(5, Some((1, 1, 1)));
        record.assert_passes(LAW);
    }

    /// Writes and deletes get lost for as long as a shard has no primary.
    #[test]
    fn many_lost_writes_between_answers_do_not_spend_the_budget() {
        let mut record = run("lease");
        for nth in 0..60 {
            let request = 10 * nth + 1;
            record.write(request, "a", Some(request)).complete(request, Outcome::Unknown, None);
            record.write(request + 1, "a", None).complete(request + 1, Outcome::Unknown, None);
            for (request, seq_no, result) in
                [(request + 2, 2 * nth, "created"), (request + 3, 2 * nth + 1, "updated")]
            {
                record.write(request, "a", Some(request));
                let (outcome, seq_no, term) = (Outcome::Ok, Some(SeqNo(seq_no as i64)), Some(Term(1)));
                let (version, result, source, error) = (Some(nth + 7), Some(result.into()), None, None);
                let completed = E::DocCompleted {
                    request,
                    outcome,
                    seq_no,
                    term,
                    version,
                    result,
                    source,
                    error,
                    drawn: None,
                };
                record.on(client(), completed);
            }
        }
        record.assert_passes(LAW);
    }

    /// Clients that wait long ask for much at once; the numbers of what they wrote leave one order.
    #[test]
    fn many_writes_at_once_do_not_spend_the_budget() {
        let mut record = run("primary");
        for request in 1..=40 {
            record.write(request, "a", Some(request)).get(100 + request, "a");
        }
        for request in 1..=40 {
            record.acknowledge(request, request as i64, 1);
        }
        let mut torn = record.clone();
        for request in 1..=40 {
            record.got(100 + request, Some((request, request as i64, 1)));
            torn.got(100 + request, Some((request, 41 - request as i64, 1)));
        }
        record.assert_passes(LAW);
        torn.assert_fails(LAW, "no order of the requests for articles/a explains their answers");
    }

    #[test]
    fn later_write_with_a_lower_number_fails_under_every_policy() {
        let mut record = run("any");
        record.write(1, "a", Some(1)).acknowledge(1, 5, 1).write(2, "a", Some(2)).acknowledge(2, 4, 1);
        record.assert_fails(LAW, "request 2 writes 0000000000000002 as operation 4 of term 1");
    }

    #[test]
    fn healthy_run_is_linearizable_and_says_so() {
        let mut record = Record::healthy();
        if let E::RunStarted { read_policy, .. } = &mut record.events[0].kind {
            *read_policy = "primary".into();
        }
        record.assert_passes(LAW);
    }
}

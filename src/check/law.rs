//! Laws — decides which promises there are, and has each judged over a record. It never looks at anything
//! but the record.
//!
//! A law is a sentence, the source that makes it binding, and a monitor: a small machine that is shown
//! every event once, in order, and says when the law is broken. Ghost state lives in monitors, not in
//! cores; a stored record can be judged again by a newer law without running it. What a law allows although
//! it looks wrong (a stale read, a write whose answer was lost) stands in the doc comment of its monitor,
//! with the source.

use crate::{
    check::{
        agreement, answers, checkpoints, clients, control, copies, deciders, disks, documents, durability,
        ends, ephemerals, epochs, fences, in_sync, membership, moves, notices, order, patience, placement,
        primaries, primary, promises, recipes, refreshed, refusals, replicas, search, session, settings,
        settle, unsynced,
        verdict::{Judged, Judgement, Verdict},
        watches,
    },
    event::{Event, EventKind},
};

/// A promise that every run must keep.
#[derive(Debug, Clone, Copy)]
pub struct Law {
    /// How scenario files, reports and the command line call it, such as `zab.one-leader`.
    pub name: &'static str,
    /// What it promises, in one sentence.
    pub sentence: &'static str,
    /// What makes it binding: paper, section, issue.
    pub source: &'static str,
    /// Makes a monitor that has seen nothing.
    pub monitor: fn() -> Box<dyn Monitor>,
}

/// How a promise is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// At every step.
    Always,
    /// Within the bound that is derived from the configured timeouts, counted from the last disturbance.
    Eventually,
    /// In some run of a sweep: a goal.
    Sometimes,
}

impl Kind {
    /// The word for lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Eventually => "eventually",
            Self::Sometimes => "sometimes",
        }
    }
}

/// Laws of liveness: what they promise needs time, and is judged when there has been enough of it.
const EVENTUALLY: [&str; 8] = [
    "session.ends",
    "membership.converges",
    "allocation.balanced",
    "recipes.led",
    "recipes.members",
    "recipes.configured",
    "ensemble.settles",
    "cluster.settles",
];

/// Laws that hold at any time, and promise something for the end beside.
const AT_THE_END: [&str; 4] =
    ["copies.equal", "documents.durable", "recipes.notices-whole", "settings.prefix"];

impl Law {
    /// Whether something must have come about for it once faults are over and everything had its time: a storm, after
    /// which nothing need be whole, is not judged by it.
    pub fn is_eventual(&self) -> bool {
        self.kind() == Kind::Eventually || AT_THE_END.contains(&self.name)
    }

    /// How it is kept.
    pub fn kind(&self) -> Kind {
        if EVENTUALLY.contains(&self.name) { Kind::Eventually } else { Kind::Always }
    }
}

/// Watches over one law. It takes any sequence of events, also a nonsensical one, and never panics.
///
/// One of your own goes into [`Trials::law`](crate::trial::Trials::law).
pub trait Monitor {
    /// Shows it the next event.
    fn observe(&mut self, event: &Event) -> Judged;

    /// Asks, after the last event, about what only the end can show.
    fn finish(&mut self) -> Judged {
        Ok(())
    }
}

/// Every law, in the order of reports: from the ensemble up to what clients see.
pub static LAWS: &[Law] = &[
    agreement::ONE_LEADER,
    agreement::AGREEMENT,
    order::ORDER,
    primary::LOCAL_ORDER,
    primary::PRIMARY_INTEGRITY,
    primary::INTEGRITY,
    promises::ACKED,
    refusals::SERVER_ENDS,
    durability::COMMIT_QUORUM,
    promises::NEW_LEADER,
    durability::DURABLE,
    epochs::EPOCHS,
    replicas::REPLICAS_EQUAL,
    clients::IN_PLACE,
    clients::LINEARIZABLE,
    clients::FIFO,
    session::MONOTONIC,
    session::UNIQUE,
    patience::PATIENCE,
    ends::ENDS,
    clients::PREFIX,
    clients::STAT_FORWARD,
    clients::SYNC,
    clients::OVER,
    watches::IN_ORDER,
    watches::NONE_LOST,
    watches::NO_MORE,
    ephemerals::EPHEMERALS,
    membership::CONVERGES,
    control::ONE_CONTROLLER,
    control::APPLIED_FORWARD,
    settings::PREFIX,
    notices::TELL_CHANGES,
    placement::ONE_COPY_PER_NODE,
    placement::BALANCED,
    deciders::HOLD,
    disks::FLOOD_STAGE,
    moves::NO_STALE_PRIMARY,
    moves::MOVES_END,
    primaries::ONE_PRIMARY,
    primaries::ONE_OPERATION,
    primaries::TERM_FENCE,
    fences::TERMS_GROW,
    fences::ACKNOWLEDGE_FENCED,
    checkpoints::GLOBAL_CHECKPOINT,
    unsynced::SYNC_INTERVAL,
    in_sync::COMPLETE,
    copies::EQUAL,
    refusals::COPY_FAILS,
    documents::DURABLE,
    documents::REALTIME,
    documents::LINEARIZABLE,
    documents::STALE,
    documents::DRAWN,
    search::COMPLETE,
    answers::ANSWERS,
    refreshed::REFRESHED,
    recipes::EPOCH_ONCE,
    recipes::FENCED,
    recipes::LED,
    recipes::MEMBERS,
    recipes::FORWARD,
    recipes::CONFIGURED,
    recipes::NOTICE_ORDER,
    recipes::NOTICES_WHOLE,
    settle::ENSEMBLE_SETTLES,
    settle::CLUSTER_SETTLES,
];

/// A name that no law has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no law `{name}`; the nearest name is `{nearest}`")]
pub struct UnknownLaw {
    /// What was asked for.
    pub name: String,
    /// The law whose name is most like it.
    pub nearest: &'static str,
}

/// The law of this name.
///
/// # Errors
///
/// If there is none.
pub fn named(name: &str) -> Result<&'static Law, UnknownLaw> {
    LAWS.iter()
        .find(|law| law.name == name)
        .ok_or_else(|| UnknownLaw { name: name.to_owned(), nearest: nearest(name) })
}

fn nearest(name: &str) -> &'static str {
    let distance = |law: &&Law| strsim::damerau_levenshtein(law.name, name);
    LAWS.iter().min_by_key(distance).map_or("", |law| law.name)
}

/// Judges a record by these laws (none named: by all), in the order named.
///
/// # Errors
///
/// If a name is not that of a law.
///
/// # Examples
///
/// ```
/// use shardarium::check::{law::judge, verdict::Verdict};
///
/// let judgements = judge(&[], &["zab.one-leader".to_owned()]).unwrap();
/// assert_eq!(judgements[0].verdict, Verdict::Pass);
/// assert_eq!(judge(&[], &["zab.one-leeder".to_owned()]).unwrap_err().nearest, "zab.one-leader");
/// ```
pub fn judge(events: &[Event], laws: &[String]) -> Result<Vec<Judgement>, UnknownLaw> {
    let mut bench = Bench::new(laws)?;
    events.iter().for_each(|event| bench.observe(event));
    Ok(bench.finish())
}

/// Judges a record by laws that need not be in the table. They see every event, also those that no law of the table
/// reads.
pub fn judge_by(events: &[Event], laws: &[Law]) -> Vec<Judgement> {
    let mut trials: Vec<Trial> = laws.iter().map(Trial::new).collect();
    for event in events {
        trials.iter_mut().for_each(|trial| trial.observe(event));
    }
    trials.into_iter().map(Trial::finish).collect()
}

/// The laws at work on one record, event by event.
pub struct Bench(Vec<Trial>);

/// One law at work. Once it is settled its monitor sees nothing more.
struct Trial {
    law: Law,
    monitor: Box<dyn Monitor>,
    settled: Option<Verdict>,
}

impl Bench {
    /// These laws (none named: all), with nothing seen yet.
    ///
    /// # Errors
    ///
    /// If a name is not that of a law.
    pub fn new(laws: &[String]) -> Result<Self, UnknownLaw> {
        let chosen: Vec<&'static Law> = match laws {
            [] => LAWS.iter().collect(),
            names => names.iter().map(|name| named(name)).collect::<Result<_, _>>()?,
        };
        Ok(Self(chosen.into_iter().map(Trial::new).collect()))
    }

    /// Shows the next event to every law.
    pub fn observe(&mut self, event: &Event) {
        if !is_chatter(&event.kind) {
            self.0.iter_mut().for_each(|trial| trial.observe(event));
        }
    }

    /// How each law ended.
    pub fn finish(self) -> Vec<Judgement> {
        self.0.into_iter().map(Trial::finish).collect()
    }
}

/// Whether no law reads this kind: most of a record is such, so it is left out once for all laws.
fn is_chatter(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Delivered { .. } | EventKind::FileSynced { .. } | EventKind::ConnectionEnded { .. }
    )
}

impl Trial {
    fn new(law: &Law) -> Self {
        Self { law: *law, monitor: (law.monitor)(), settled: None }
    }

    fn observe(&mut self, event: &Event) {
        if self.settled.is_none() {
            self.settled = self.monitor.observe(event).err();
        }
    }

    fn finish(mut self) -> Judgement {
        let verdict = match self.settled {
            Some(verdict) => verdict,
            None => self.monitor.finish().err().unwrap_or(Verdict::Pass),
        };
        Judgement { law: self.law.name.to_owned(), verdict }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::record::Record;

    #[test]
    fn eventual_laws_are_laws() {
        assert_eq!(LAWS.iter().filter(|law| law.is_eventual()).count(), EVENTUALLY.len() + AT_THE_END.len());
    }

    #[test]
    fn every_law_holds_in_the_healthy_record() {
        let judgements = judge(&Record::healthy().numbered(), &[]).unwrap();
        assert_eq!(judgements.len(), LAWS.len());
        for judgement in judgements {
            assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.law);
        }
    }

    #[test]
    fn every_law_has_its_own_name_a_sentence_and_a_source() {
        for law in LAWS {
            assert_eq!(named(law.name).map(|law| law.sentence), Ok(law.sentence));
            assert!(
                law.name.contains('.') && law.sentence.ends_with('.') && !law.source.is_empty(),
                "{}",
                law.name
            );
        }
    }

    #[test]
    fn unknown_name_is_answered_with_the_nearest() {
        let unknown = named("cluster.settle").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "there is no law `cluster.settle`; the nearest name is `cluster.settles`"
        );
    }

    #[test]
    fn no_event_at_all_is_never_taken_for_a_settled_cluster() {
        for judgement in judge(&[], &["cluster.settles".into(), "copies.equal".into()]).unwrap() {
            assert!(matches!(judgement.verdict, Verdict::Unknown { .. }), "{judgement:?}");
        }
    }

    #[test]
    fn broken_law_is_told_at_the_first_event_that_shows_it() {
        let mut record = Record::healthy();
        let established = |event: &Event| matches!(event.kind, EventKind::LeaderEstablished { .. });
        let first = record.index(0, established);
        record.duplicate(first);
        record.duplicate(first);
        assert!(
            matches!(record.verdict("zab.one-leader"), Verdict::Fail { seq, .. } if seq == first as u64 + 1)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Laws take any sequence of events and never panic.
        #[test]
        fn nonsense_is_judged_without_panic(
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..300),
            keep_order in any::<bool>(),
        ) {
            let healthy = Record::healthy().numbered();
            let mut events: Vec<Event> = picks
                .iter()
                .map(|(what, whose)| Event { host: whose.get(&healthy).host, ..what.get(&healthy).clone() })
                .collect();
            if keep_order {
                events.sort_by_key(|event| event.seq);
            }
            prop_assert_eq!(judge(&events, &[]).unwrap().len(), LAWS.len());
        }

        /// A record that lost, repeated or swapped events of a healthy run is judged as well.
        #[test]
        fn damaged_record_is_judged_without_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8), 1..20),
        ) {
            let mut events = Record::healthy().numbered();
            for (index, what) in damage {
                let index = index.index(events.len() - 1);
                match what {
                    0 => drop(events.remove(index)),
                    1 => events.insert(index, events[index].clone()),
                    _ => events.swap(index, index + 1),
                }
            }
            prop_assert_eq!(judge(&events, &[]).unwrap().len(), LAWS.len());
        }
    }
}

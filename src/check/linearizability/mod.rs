//! Linearizability — decides whether calls can be put into one order that a sequential model allows and that
//! agrees with time. It never knows what the calls mean.
//!
//! The search is Wing and Gong's (*Testing and Verifying Concurrent Objects*, 1993) in Lowe's just-in-time form
//! (*Testing for Linearizability*, 2016): calls are put in order only when one of them returns, and what has
//! been reached is remembered by state and by the calls that took effect without having returned. A caller
//! splits its history by key first: linearizability is local, so each key is judged by itself (Horn and
//! Kroening, *Faster Linearizability Checking via P-Compositionality*, 2015).
//!
//! Deciding it is NP-complete (Gibbons and Korach, 1997), so the search has a [`Budget`], of steps and of memory
//! and never of wall time: the same history is always judged alike.

mod frontier;
#[cfg(test)]
mod register;
mod smallest;

use self::frontier::Frontier;

/// What calls do, one after the other.
pub(super) trait Model {
    /// A call and its answer.
    type Op: PartialEq;
    /// What the calls so far have led to.
    type State: Clone + Ord;

    /// The state before the first call.
    fn initial(&self) -> Self::State;

    /// The state after a call; none if it cannot have been answered so. A call that never returned has no
    /// answer to contradict. The state after a read may say more than the one before: what the model left open.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// Whether a call changes nothing but what is known of the state: it is put in order as soon as its answer fits,
    /// for none that fits later fits worse. What it makes known has to hold as long as the state lasts.
    fn is_read(&self, op: &Self::Op) -> bool;

    /// Whether one call, if both take effect, surely does so before the other: by their answers, whatever the time.
    fn precedes(&self, one: &Self::Op, other: &Self::Op) -> bool;

    /// Whether a call's answer shows the effect of another one. Only reports ask.
    fn shows(&self, op: &Self::Op, effect_of: &Self::Op) -> bool;
}

/// A call, from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call<Op> {
    /// What was called, and answered if it was.
    pub(super) op: Op,
    /// The place of its beginning.
    pub(super) invoked: u64,
    /// The place of its end; none: it may take effect at any time from its beginning on, or never.
    pub(super) returned: Option<u64>,
}

/// What a search may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Steps of the model.
    pub(super) steps: u64,
    /// Configurations held at one time.
    pub(super) configurations: usize,
}

/// Enough for every history of a few clients on one key: a second or so, and some 100 MB.
impl Default for Budget {
    fn default() -> Self {
        Self { steps: 5_000_000, configurations: 500_000 }
    }
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// An order.
    Order,
    /// There is none.
    NoOrder {
        /// The call whose answer leaves none.
        last: usize,
        /// A smallest choice of calls that have none, by place in the list, and the calls whose effects they
        /// show.
        core: Vec<usize>,
    },
    /// Nothing, within the budget.
    Spent {
        /// What ran out.
        budget: &'static str,
    },
}

/// Looks for an order of the calls of one key.
pub(super) fn check<M: Model>(model: &M, calls: &[Call<M::Op>], budget: Budget) -> Found {
    match search(model, calls, budget) {
        Searched::Order => Found::Order,
        Searched::Spent(budget) => Found::Spent { budget },
        Searched::NoOrder { last } => {
            Found::NoOrder { last, core: smallest::core(model, calls, last, budget) }
        }
    }
}

/// What one search has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Searched {
    Order,
    NoOrder { last: usize },
    Spent(&'static str),
}

/// A beginning or end of a call, in order of time; of one place, beginnings come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    at: u64,
    end: bool,
    call: usize,
}

fn moments<Op>(calls: &[Call<Op>]) -> Vec<Moment> {
    let begins = calls.iter().enumerate().map(|(call, it)| Moment { at: it.invoked, end: false, call });
    let ends = calls.iter().enumerate();
    let ends = ends.filter_map(|(call, it)| Some(Moment { at: it.returned?, end: true, call }));
    let mut moments: Vec<_> = begins.chain(ends).collect();
    moments.sort_unstable();
    moments
}

fn search<M: Model>(model: &M, calls: &[Call<M::Op>], budget: Budget) -> Searched {
    let mut frontier = Frontier::new(model, calls, budget);
    for moment in moments(calls) {
        if !moment.end {
            frontier.invoke(moment.call);
        } else if let Err(spent) = frontier.complete(moment.call) {
            return Searched::Spent(spent);
        } else if frontier.is_empty() {
            return Searched::NoOrder { last: moment.call };
        }
    }
    Searched::Order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        register::{Op, Register, brute_force, history, vectors},
        *,
    };

    fn call(op: Op, invoked: u64, returned: impl Into<Option<u64>>) -> Call<Op> {
        Call { op, invoked, returned: returned.into() }
    }

    fn is_linearizable(model: &Register, calls: &[Call<Op>]) -> bool {
        match check(model, calls, Budget::default()) {
            Found::Order => true,
            Found::NoOrder { .. } => false,
            Found::Spent { budget } => panic!("{budget} must do for so few calls"),
        }
    }

    /// Elasticsearch's, Porcupine's and Knossos' own test histories.
    #[test]
    fn published_histories_are_judged_as_published() {
        let vectors = vectors();
        assert!(vectors.len() >= 17);
        for vector in vectors {
            assert_eq!(is_linearizable(&vector.model, &vector.calls), vector.linearizable, "{}", vector.name);
        }
    }

    #[test]
    fn write_that_never_returned_takes_effect_late_or_never() {
        let model = Register { initial: Some(0) };
        let lost = call(Op::Write(Some(1)), 0, None);
        let reads = |values: [i64; 3]| {
            let read = |(nth, value): (u64, &i64)| call(Op::Read(Some(*value)), 10 * nth, 10 * nth + 5);
            [vec![lost], (1..).zip(&values).map(read).collect()].concat()
        };
        assert!(is_linearizable(&model, &reads([0, 0, 0])));
        assert!(is_linearizable(&model, &reads([0, 0, 1])));
        assert!(!is_linearizable(&model, &reads([0, 1, 0])));
    }

    /// Sixty writes of which nobody knows the end: two to the sixtieth subsets, and no more states than values.
    #[test]
    fn many_lost_writes_cost_little() {
        let model = Register { initial: Some(0) };
        let lost = (1..=60).map(|value| call(Op::Write(Some(value)), value as u64, None));
        let reads = (0..60).map(|nth| {
            let at = 100 + 10 * nth as u64;
            call(Op::Read(Some(60 - nth)), at, at + 5)
        });
        let calls: Vec<_> = lost.chain(reads).collect();
        assert_eq!(check(&model, &calls, Budget { steps: 400_000, configurations: 500 }), Found::Order);
    }

    /// Sixty reads at once, of one write each: which of them are in order by when, does not matter.
    #[test]
    fn reads_at_once_cost_little() {
        let model = Register { initial: Some(0) };
        let reads = (0..60).map(|nth| call(Op::Read(Some(nth % 4)), nth as u64, 500 + nth as u64));
        let writes = (1..4).map(|value| call(Op::Write(Some(value)), 99 + value as u64, 200 + value as u64));
        let calls: Vec<_> = reads.chain(writes).collect();
        assert_eq!(check(&model, &calls, Budget { steps: 20_000, configurations: 100 }), Found::Order);
    }

    /// Thirty lost writes of one value, of which ten took effect at some time: which ones, does not matter.
    #[test]
    fn lost_calls_that_are_alike_count_as_one() {
        let model = Register { initial: Some(0) };
        let lost = (0..30).map(|at| call(Op::Write(Some(0)), at, None));
        let others = (0..10_u64).flat_map(|nth| {
            let at = 100 + 100 * nth;
            [call(Op::Write(Some(1)), at, at + 10), call(Op::Cas(Some(0), Some(2)), at + 20, at + 30)]
        });
        let calls: Vec<_> = lost.chain(others).collect();
        assert_eq!(check(&model, &calls, Budget { steps: 20_000, configurations: 100 }), Found::Order);
    }

    #[test]
    fn search_that_costs_too_much_is_given_up() {
        let model = Register { initial: Some(0) };
        let calls: Vec<_> = (1..20).map(|value| call(Op::Write(Some(value)), value as u64, 100)).collect();
        let steps = check(&model, &calls, Budget { steps: 1_000, ..Budget::default() });
        assert_eq!(steps, Found::Spent { budget: "steps of the search for an order" });
        let memory = check(&model, &calls, Budget { configurations: 50, ..Budget::default() });
        assert_eq!(memory, Found::Spent { budget: "memory of the search for an order" });
    }

    #[test]
    fn contradiction_is_told_by_the_fewest_calls() {
        let model = Register { initial: Some(0) };
        let mut calls: Vec<_> = (1..=9)
            .map(|value| call(Op::Write(Some(value)), 10 * value as u64, 10 * value as u64 + 5))
            .collect();
        calls.push(call(Op::Read(Some(9)), 100, 105));
        calls.push(call(Op::Read(Some(8)), 110, 115));
        calls.push(call(Op::Read(Some(9)), 120, 125));
        let Found::NoOrder { last, core } = check(&model, &calls, Budget::default()) else {
            panic!("the second read goes back")
        };
        assert_eq!(last, 10);
        assert_eq!(core, [7, 8, 10], "the write read, the one it should have read, and the read");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// A history made from an order has one.
        #[test]
        fn history_made_from_an_order_has_one(calls in history(40)) {
            let model = Register { initial: Some(0) };
            prop_assert!(is_linearizable(&model, &calls));
        }

        /// Whatever is changed in a small one, trying every order finds the same.
        #[test]
        fn changed_history_is_judged_as_by_trying_every_order(
            calls in history(6),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4_i64, 0..3u8), 1..4),
        ) {
            let mut calls = calls;
            for (which, value, what) in changes {
                if calls.is_empty() {
                    break;
                }
                let call = which.get_mut(&mut calls);
                match (what, &mut call.op) {
                    (0, Op::Read(shown)) => *shown = Some(value),
                    (0 | 1, _) => call.returned = call.returned.map(|at| call.invoked + (at - call.invoked) / 2),
                    _ => call.invoked = (call.invoked + 1).min(call.returned.unwrap_or(u64::MAX)),
                }
            }
            let model = Register { initial: Some(0) };
            prop_assert_eq!(is_linearizable(&model, &calls), brute_force(&model, &calls));
        }
    }
}

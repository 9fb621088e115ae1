//! Smallest — decides which few calls show that there is no order. It never judges.
//!
//! A call is left out by letting it take effect at any time from its beginning on, or never: that only adds
//! orders, so whatever still has none had none before. (To take a write away would be no such thing: whoever
//! read it would be left reading what nobody wrote.)

use super::{Budget, Call, Model, Searched, search};

/// The calls of a smallest history without an order, given that the answer of `last` leaves none, and those
/// whose effects they show.
pub(super) fn core<M: Model>(model: &M, calls: &[Call<M::Op>], last: usize, budget: Budget) -> Vec<usize> {
    let end = calls[last].returned.unwrap_or(u64::MAX);
    let begun: Vec<usize> = (0..calls.len()).filter(|call| calls[*call].invoked <= end).collect();
    let is_over = |call: &usize| calls[*call].returned.is_some_and(|at| at <= end);
    let mut kept: Vec<usize> = begun.iter().copied().filter(is_over).collect();
    let has_none = |kept: &[usize]| {
        let weakened: Vec<_> = begun.iter().map(|call| weaken(&calls[*call], kept.contains(call))).collect();
        matches!(search(&Borrowed(model), &weakened, budget), Searched::NoOrder { .. })
    };
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        // From the end: reads follow what they show, and are the ones that can be spared.
        let mut end = kept.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let rest = [&kept[..start], &kept[end..]].concat();
            if has_none(&rest) {
                kept = rest;
            }
            end = start;
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    let shown = |call: &usize| kept.iter().any(|kept| model.shows(&calls[*kept].op, &calls[*call].op));
    begun.into_iter().filter(|call| kept.contains(call) || shown(call)).collect()
}

fn weaken<Op>(call: &Call<Op>, keep: bool) -> Call<&Op> {
    let returned = if keep { call.returned } else { None };
    Call { op: &call.op, invoked: call.invoked, returned }
}

/// The same model over calls that are lent.
struct Borrowed<'a, M>(&'a M);

impl<'a, M: Model> Model for Borrowed<'a, M>
where
    M::Op: 'a,
{
    type Op = &'a M::Op;
    type State = M::State;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &M::State, op: &&'a M::Op) -> Option<M::State> {
        self.0.step(state, op)
    }

    fn is_read(&self, op: &Self::Op) -> bool {
        self.0.is_read(op)
    }

    fn precedes(&self, one: &Self::Op, other: &Self::Op) -> bool {
        self.0.precedes(one, other)
    }

    fn shows(&self, op: &&'a M::Op, effect_of: &&'a M::Op) -> bool {
        self.0.shows(op, effect_of)
    }
}

//! Frontier — decides which configurations a history can be in after each answer. It never goes back.

use std::collections::{BTreeMap, VecDeque};

use super::{Budget, Call, Model};

/// A state, and the calls that took effect although they have not returned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration<S> {
    state: S,
    /// Those that will return.
    ahead: Vec<usize>,
    /// Those that never do.
    lost: Vec<usize>,
}

/// Configurations, without those that another one outdoes: one with the same state and the same calls ahead
/// outdoes all that have spent more calls that never return, for it can still do whatever they can.
#[derive(Debug)]
struct Reached<S> {
    by_state: BTreeMap<(S, Vec<usize>), Vec<Vec<usize>>>,
    count: usize,
}

/// All configurations after the moments so far.
pub(super) struct Frontier<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<M::Op>],
    budget: Budget,
    steps: u64,
    open: Vec<usize>,
    /// Of a call that never returns: the one before it that does the same, and never returns either.
    twins: BTreeMap<usize, usize>,
    reached: Reached<M::State>,
}

impl<S: Clone + Ord> Reached<S> {
    fn new() -> Self {
        Self { by_state: BTreeMap::new(), count: 0 }
    }

    /// Adds a configuration, unless it is outdone. Whether it did.
    fn add(&mut self, new: &Configuration<S>) -> bool {
        let alike = self.by_state.entry((new.state.clone(), new.ahead.clone())).or_default();
        if alike.iter().any(|lost| is_within(lost, &new.lost)) {
            return false;
        }
        let before = alike.len();
        alike.retain(|lost| !is_within(&new.lost, lost));
        alike.push(new.lost.clone());
        self.count = self.count + alike.len() - before;
        true
    }

    fn into_all(self) -> impl Iterator<Item = Configuration<S>> {
        self.by_state.into_iter().flat_map(|((state, ahead), all)| {
            all.into_iter().map(move |lost| Configuration {
                state: state.clone(),
                ahead: ahead.clone(),
                lost,
            })
        })
    }
}

/// Whether a sorted list is part of another.
fn is_within(part: &[usize], whole: &[usize]) -> bool {
    part.len() <= whole.len() && part.iter().all(|one| whole.binary_search(one).is_ok())
}

fn with(list: &[usize], one: usize) -> Vec<usize> {
    let at = list.partition_point(|other| *other < one);
    let mut longer = list.to_vec();
    longer.insert(at, one);
    longer
}

impl<'a, M: Model> Frontier<'a, M> {
    /// Before the first moment.
    pub(super) fn new(model: &'a M, calls: &'a [Call<M::Op>], budget: Budget) -> Self {
        let mut reached = Reached::new();
        reached.add(&Configuration { state: model.initial(), ahead: Vec::new(), lost: Vec::new() });
        Self { model, calls, budget, steps: 0, open: Vec::new(), twins: BTreeMap::new(), reached }
    }

    /// Whether no order is left.
    pub(super) fn is_empty(&self) -> bool {
        self.reached.count == 0
    }

    /// A call begins: it may take effect from now on.
    pub(super) fn invoke(&mut self, call: usize) {
        let calls = self.calls;
        if calls[call].returned.is_none() {
            let is_alike =
                |other: &&usize| calls[**other].returned.is_none() && calls[**other].op == calls[call].op;
            self.twins.extend(self.open.iter().rfind(is_alike).map(|twin| (call, *twin)));
        }
        self.open.push(call);
    }

    /// A call ends: it has taken effect by now, and its answer is what it is.
    ///
    /// # Errors
    ///
    /// What of the budget ran out.
    pub(super) fn complete(&mut self, call: usize) -> Result<(), &'static str> {
        let mut after = Reached::new();
        let mut seen = Reached::new();
        let mut queue = VecDeque::new();
        for configuration in std::mem::replace(&mut self.reached, Reached::new()).into_all() {
            self.arrive(configuration, call, &mut after, &mut seen, &mut queue)?;
        }
        while let Some(configuration) = queue.pop_front() {
            for next in 0..self.open.len() {
                let next = self.open[next];
                if let Some(later) = self.step(&configuration, next)? {
                    self.arrive(later, call, &mut after, &mut seen, &mut queue)?;
                }
            }
            if seen.count + after.count > self.budget.configurations {
                return Err("memory of the search for an order");
            }
        }
        self.open.retain(|open| *open != call);
        self.reached = after;
        Ok(())
    }

    /// A configuration is reached: one in which the ending call has taken effect is one after its end, any other is to
    /// be gone on from.
    fn arrive(
        &mut self,
        mut configuration: Configuration<M::State>,
        ending: usize,
        after: &mut Reached<M::State>,
        seen: &mut Reached<M::State>,
        queue: &mut VecDeque<Configuration<M::State>>,
    ) -> Result<(), &'static str> {
        self.read(&mut configuration)?;
        if let Ok(at) = configuration.ahead.binary_search(&ending) {
            configuration.ahead.remove(at);
            after.add(&configuration);
        } else if seen.add(&configuration) {
            queue.push_back(configuration);
        }
        Ok(())
    }

    /// Whether a call is a read that will return.
    fn is_read(&self, call: usize) -> bool {
        let Call { op, returned, .. } = &self.calls[call];
        returned.is_some() && self.model.is_read(op)
    }

    /// Puts every read in order whose answer fits.
    fn read(&mut self, configuration: &mut Configuration<M::State>) -> Result<(), &'static str> {
        for at in 0..self.open.len() {
            let open = self.open[at];
            if !self.is_read(open) || configuration.ahead.binary_search(&open).is_ok() {
                continue;
            }
            self.steps += 1;
            if let Some(state) = self.model.step(&configuration.state, &self.calls[open].op) {
                configuration.state = state;
                configuration.ahead = with(&configuration.ahead, open);
            }
        }
        if self.steps > self.budget.steps { Err("steps of the search for an order") } else { Ok(()) }
    }

    /// Whether a call that is open has to come before this one, and has not.
    fn must_wait(&self, from: &Configuration<M::State>, next: usize) -> bool {
        let op = &self.calls[next].op;
        self.open.iter().any(|open| {
            let Call { op: other, returned, .. } = &self.calls[*open];
            returned.is_some() && self.model.precedes(other, op) && from.ahead.binary_search(open).is_err()
        })
    }

    /// The configuration in which `next` takes effect, if it can.
    fn step(
        &mut self,
        from: &Configuration<M::State>,
        next: usize,
    ) -> Result<Option<Configuration<M::State>>, &'static str> {
        if from.ahead.binary_search(&next).is_ok() || from.lost.binary_search(&next).is_ok() {
            return Ok(None);
        }
        // A read that fits was put in order as the configuration was reached.
        if self.is_read(next) {
            return Ok(None);
        }
        // Of calls that do the same and never return, any one will do for any other: the first goes first.
        if self.twins.get(&next).is_some_and(|twin| from.lost.binary_search(twin).is_err()) {
            return Ok(None);
        }
        if self.must_wait(from, next) {
            return Ok(None);
        }
        self.steps += 1;
        if self.steps > self.budget.steps {
            return Err("steps of the search for an order");
        }
        let Call { op, returned, .. } = &self.calls[next];
        let Some(state) = self.model.step(&from.state, op) else { return Ok(None) };
        let Configuration { ahead, lost, .. } = from.clone();
        Ok(Some(match returned {
            Some(_) => Configuration { state, ahead: with(&ahead, next), lost },
            None => Configuration { state, ahead, lost: with(&lost, next) },
        }))
    }
}

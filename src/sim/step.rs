//! Steps — decides how a planned administrative step reaches whoever carries it out. It never decides when, nor
//! whether it succeeds.

use crate::{
    event::{EventKind, Outcome},
    name::HostId,
    scenario::steps::StepAction,
    search::discovery::STATE,
    sim::{wire::Wire, world::World},
    workload::{administrator::Order, operator::Task},
};

impl World {
    /// A planned step is due; `at` is the host of the event that it waited for.
    pub(super) fn take_step(&self, step: u32, at: Option<HostId>) {
        let action = &self.plan().steps[step as usize].action;
        self.record(None, EventKind::StepBegan { step, what: action.to_string() });
        if let StepAction::CorruptState = action {
            self.order(Order::Overwrite { path: STATE.into() });
            return self.step_ended(step, Outcome::Ok, None);
        }
        let hosts = match action {
            StepAction::Drain { target } => self.meant_by_step(target, step, at),
            StepAction::Reroute { orders } => {
                orders.selectors().flat_map(|selector| self.meant_by_step(selector, step, at)).collect()
            }
            _ => Vec::new(),
        };
        let operator = HostId::client(1);
        if self.is_up(operator) {
            self.tell(operator, Wire::Task(Task { step, hosts }));
        } else {
            self.step_ended(step, Outcome::Failed, Some("the operator is down".into()));
        }
    }

    /// A step ended without an operator.
    pub(super) fn step_ended(&self, step: u32, outcome: Outcome, error: Option<String>) {
        let what = self.plan().steps[step as usize].action.to_string();
        self.record(None, EventKind::StepEnded { step, what, outcome, error, copies: None });
    }
}

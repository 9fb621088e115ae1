//! Deciding — decides which state follows from the last one, what has come in, and time. It never writes it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Controller, Phase,
    write::{Step, Write},
};
use crate::{
    core::Instant,
    event::EventKind,
    name::{HostId, IndexName},
    search::{
        allocation::{
            self, Deadlines, Inputs, Settings,
            flood::{self, Flood},
        },
        notices::Announcement,
        settings::SettingsDocument,
        state::{ClusterState, NodeEntry},
        tasks::{Done, Terms, all_left_alone},
        transport::Ctx,
    },
    zookeeper::client::Client,
};

/// The state that is to come, and what it changes, for people.
struct Next {
    state: ClusterState,
    why: Vec<String>,
}

impl Controller {
    /// Folds everything that has come in into one next state.
    pub(super) fn decide(&mut self, ctx: &mut Ctx<'_>, client: &mut Client) {
        let now = ctx.now.mono;
        self.decided_at = now;
        let Some(mut next) = self.begin_next() else { return };
        let mut done = self.do_tasks(&mut next, now);
        self.mind_floods(&mut next, &mut done);
        self.allocate(&mut next, now);
        let forced = std::mem::take(&mut self.forced);
        if self.is_news(&next.state) || forced {
            self.begin_write(ctx, client, next, done, forced);
        } else {
            self.settle_answers(ctx, done.answers);
        }
    }

    /// The last state, in this epoch, with the members and the settings that there are now.
    fn begin_next(&mut self) -> Option<Next> {
        let (Phase::Acting(office), Some(members)) = (&self.phase, &self.members) else { return None };
        let mut state = office.state.clone();
        state.enter_epoch(office.drawn.epoch, self.config.me);
        state.forget_orders();
        let mut why = state.set_members(members);
        if office.document.as_ref().is_some_and(|document| state.adopt(document)) {
            why.push(format!("settings {} taken over", state.settings.version));
        }
        self.read_settings_of(&state);
        Some(Next { state, why })
    }

    fn do_tasks(&mut self, next: &mut Next, now: Instant) -> Done {
        let Self { phase, tasks, acks, settings, info, deadlines, config, .. } = self;
        let Phase::Acting(office) = phase else { return Done::default() };
        let inputs = Inputs { settings, info, deadlines, now, lineage: config.lineage };
        let (former, document_is_whole) = (&office.state.yielding, office.document.is_some());
        let has_applied = |host, at| acks.standing(host).0.is_some_and(|applied| applied.state >= at);
        let (read_policy, has_applied) = (config.read_policy, &has_applied);
        let terms = Terms { inputs, document_is_whole, read_policy, former, has_applied };
        let done = tasks.apply(&mut next.state, &mut next.why, &terms);
        self.read_settings_of(&next.state);
        done
    }

    /// What is known of nodes that are gone says nothing of their next life.
    fn mind_floods(&mut self, next: &mut Next, done: &mut Done) {
        if self.info.disks.is_empty() {
            return;
        }
        let state = &mut next.state;
        self.info.retain(|node| state.nodes.contains_key(&node), |shard| state.shard(shard).is_some());
        for flood in flood::apply(state, &self.settings, &self.info) {
            let (note, why) = match flood {
                Flood::Blocked(index) => {
                    let why = format!("[{index}] is read-only, but for deletes: a disk is nearly full");
                    (EventKind::IndexBlocked { index }, why)
                }
                Flood::Released(index) => {
                    let why = format!("[{index}] is released: its disks have room");
                    (EventKind::IndexReleased { index }, why)
                }
            };
            done.notes.push(note);
            next.why.push(why);
        }
    }

    fn allocate(&mut self, next: &mut Next, now: Instant) {
        let delay = |index: &_| self.settings.of_index(index).delayed_timeout;
        let deadline = |index: &_| now + delay(index).unwrap_or(self.config.delayed_allocation);
        note_deadlines(&mut self.deadlines, &next.state, deadline);
        let Self { allocator, settings, info, deadlines, config, .. } = self;
        let inputs = Inputs { settings, info, deadlines, now, lineage: config.lineage };
        let rerouted = allocation::allocate(&mut **allocator, std::mem::take(&mut next.state), inputs);
        next.state = rerouted.state;
        next.why.extend(rerouted.moves.iter().map(ToString::to_string));
        next.why.extend(rerouted.refused.iter().map(|refused| format!("not done: {refused}")));
    }

    fn is_news(&self, next: &ClusterState) -> bool {
        matches!(&self.phase, Phase::Acting(office) if !is_same(next, &office.state))
    }

    fn begin_write(&mut self, ctx: &mut Ctx<'_>, client: &mut Client, next: Next, done: Done, forced: bool) {
        let Phase::Acting(office) = &self.phase else { return };
        let Next { mut state, why } = next;
        state.note_unassigned(ctx.now.wall_ms);
        state.version += 1;
        let silent = if forced { "written anew" } else { "took office" };
        let why = if why.is_empty() { silent.to_owned() } else { why.join("; ") };
        let announcement = Announcement::of(&office.state, &state);
        let is_written = |document: &Arc<SettingsDocument>| document.version == state.settings.version;
        let with_settings = !office.document.as_ref().is_none_or(is_written);
        let Done { tasks, answers, mut notes, is_cut_short } = done;
        if office.state.epoch != office.drawn.epoch {
            notes.splice(0..0, all_left_alone(&office.state, &self.settings));
        }
        let step = Step::Lost;
        let write = Write { state, why, announcement, with_settings, tasks, answers, notes, step };
        self.stale |= is_cut_short;
        self.send_new(ctx, client, write);
    }

    fn read_settings_of(&mut self, state: &ClusterState) {
        if state.settings.version != self.settings.version {
            self.settings = Settings::of(&state.settings);
        }
    }
}

/// Notes what allocation went by, if anything is set and it has changed since; and what was ordered.
pub(super) fn note_inputs(
    ctx: &mut Ctx<'_>,
    noted: &mut Option<(u64, BTreeMap<HostId, NodeEntry>)>,
    state: &ClusterState,
) {
    let is_plain = state.settings.version == 0 && state.nodes.values().all(|node| node.attributes.is_empty());
    let is_noted = |noted: &(u64, BTreeMap<HostId, NodeEntry>)| {
        noted.0 == state.settings.version && noted.1 == state.nodes
    };
    if !is_plain && !noted.as_ref().is_some_and(is_noted) {
        *noted = Some((state.settings.version, state.nodes.clone()));
        let all = |node: &NodeEntry| {
            let zone = ("zone".to_owned(), node.zone.clone());
            node.attributes.clone().into_iter().chain([zone]).collect()
        };
        let indices = state.settings.indices.iter();
        ctx.out.note(EventKind::AllocationInputs {
            cluster: state.settings.cluster.0.clone(),
            indices: indices.map(|(index, set)| (index.clone(), set.0.clone())).collect(),
            attributes: state.nodes.iter().map(|(host, node)| (*host, all(node))).collect(),
        });
    }
    if !state.commanded.is_empty() {
        let shards = state.commanded.iter().cloned().collect();
        ctx.out
            .note(EventKind::RerouteCommanded { shards, given_up: state.given_up.iter().cloned().collect() });
    }
}

/// Whether nothing has changed; that commands were carried out with the former state is nothing.
fn is_same(next: &ClusterState, former: &ClusterState) -> bool {
    if former.commanded.is_empty() || !next.commanded.is_empty() {
        return next == former;
    }
    let (commanded, given_up) = (former.commanded.clone(), former.given_up.clone());
    ClusterState { commanded, given_up, ..next.clone() } == *former
}

/// Notes since when each replica waits for a node that is away. The clock starts when this controller first
/// sees it: what has passed under an earlier one is forgotten.
fn note_deadlines(deadlines: &mut Deadlines, state: &ClusterState, deadline: impl Fn(&IndexName) -> Instant) {
    let is_away = |id: &_| !state.homes.get(id).is_some_and(|home| state.nodes.contains_key(home));
    let mut waiting = Deadlines::new();
    for (index, metadata) in &state.indices {
        let copies = metadata.shards.iter().flat_map(|table| &table.copies);
        let unassigned = copies.filter(|copy| copy.node.is_none() && !copy.primary);
        for id in unassigned.filter_map(|copy| copy.allocation).filter(is_away) {
            waiting.insert(id, deadlines.get(&id).copied().unwrap_or_else(|| deadline(index)));
        }
    }
    *deadlines = waiting;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::CopyState::{Started, Unassigned},
        name::AllocationId,
        search::{
            fixture::{copy, state, table},
            state::ShardCopy,
        },
    };

    /// E10, Elasticsearch #14494: the copy that is lost second has a deadline of its own, whatever becomes of the first.
    #[test]
    fn copy_that_is_lost_later_waits_until_later() {
        let away = |number, id| ShardCopy { node: None, ..copy(number, id, false, Unassigned) };
        let mut first = state(1, vec![table(vec![copy(1, 1, true, Started), away(2, 2)])]);
        let mut both = state(1, vec![table(vec![copy(1, 1, true, Started), away(2, 2), away(3, 3)])]);
        let mut second = state(1, vec![table(vec![copy(1, 1, true, Started), away(3, 3)])]);
        for state in [&mut first, &mut both, &mut second] {
            state.nodes.retain(|node, _| node.number == 1);
            state.homes = [2, 3].map(|id| (AllocationId(id), HostId::search(id as u16))).into();
        }
        let mut deadlines = Deadlines::new();
        note_deadlines(&mut deadlines, &first, |_| Instant(10));
        note_deadlines(&mut deadlines, &both, |_| Instant(14));
        assert_eq!(deadlines, [(AllocationId(2), Instant(10)), (AllocationId(3), Instant(14))].into());
        note_deadlines(&mut deadlines, &second, |_| Instant(99));
        assert_eq!(deadlines, [(AllocationId(3), Instant(14))].into());
    }
}

//! Durability — decides when a copy syncs its translog that does not do so for each request. It never decides
//! what may be acknowledged (`primary`).
//!
//! Elasticsearch's `index.translog.durability: async`: what was acknowledged since the last sync may be lost with
//! the machine. The checkpoints are of what is durable nevertheless, so no copy is believed to have what a
//! crash may take from it.

use super::{Phase, Shard, pace::Durability};
use crate::{
    core::Instant,
    event::EventKind,
    name::{AllocationId, SeqNo, Term},
    search::{
        engine::Failure,
        shards::{Awaited, Body, Step},
    },
};

/// What of the translog is not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Background {
    /// Nothing that nobody waits for.
    Clean,
    /// Something, and it will be at this time.
    Dirty { sync_at: Instant },
    /// It is being synced; whether something was added since.
    Syncing { again: bool },
}

impl Background {
    /// When it wants to be woken.
    pub(super) fn next_wake(self) -> Option<Instant> {
        if let Self::Dirty { sync_at } = self { Some(sync_at) } else { None }
    }
}

impl Shard {
    /// Operations were added to the translog that nobody waits to be durable.
    pub(super) fn sync_later(&mut self, step: &mut Step<'_, '_>) {
        let interval = step.pace(&self.id).sync_interval;
        let due = step.after(interval);
        match &mut self.background {
            Background::Clean => self.background = Background::Dirty { sync_at: due },
            // The interval may have become shorter (`AbstractAsyncTask.setInterval`).
            Background::Dirty { sync_at } => *sync_at = due.min(*sync_at),
            Background::Syncing { again } => *again = true,
        }
    }

    /// Whether operations are to be durable before they are answered for.
    pub(super) fn syncs_first(&self, step: &mut Step<'_, '_>) -> bool {
        step.pace(&self.id).durability == Durability::Request
    }

    pub(super) fn sync_in_background(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        if self.background.next_wake().is_none_or(|at| at > step.now()) {
            return Ok(());
        }
        let Some(store) = self.store.as_mut().filter(|_| self.replaced.is_none()) else {
            self.background = Background::Clean;
            return Ok(());
        };
        self.background = Background::Syncing { again: false };
        store.sync_begins();
        let translog = store.translog_file();
        let ticket = self.ticket(Awaited::InBackground);
        step.tell_after_sync(&translog, super::Ticket { life: self.store_life, ..ticket });
        Ok(())
    }

    pub(super) fn synced_in_background(&mut self, step: &mut Step<'_, '_>) -> Result<(), Failure> {
        let again = self.background == Background::Syncing { again: true };
        self.background = Background::Clean;
        if again {
            self.sync_later(step);
        }
        let up_to = self.open_store().sync_ended();
        let (shard, allocation) = (self.id.clone(), self.allocation);
        step.note(EventKind::TranslogSynced { shard, allocation, up_to });
        let local_checkpoint = self.open_store().persisted_checkpoint();
        match &mut self.phase {
            Phase::Primary(primary) => {
                primary.group.synced(up_to);
                self.advance(step)
            }
            Phase::Replica | Phase::Recovered { .. } => {
                let primary = self.table(step).and_then(|table| table.primary());
                let primary = primary.and_then(|copy| Some((copy.node?, copy.allocation?)));
                if let Some((node, primary)) = primary {
                    step.send(node, self.message(primary, Body::Persisted { local_checkpoint }));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A copy says that what it had taken is durable.
    pub(super) fn copy_persisted(
        &mut self,
        step: &mut Step<'_, '_>,
        copy: AllocationId,
        term: Term,
        local_checkpoint: SeqNo,
    ) -> Result<(), Failure> {
        match &mut self.phase {
            Phase::Primary(primary) if term == self.term => {
                primary.group.persisted(copy, local_checkpoint);
                self.advance(step)
            }
            _ => Ok(()),
        }
    }
}

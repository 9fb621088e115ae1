//! Epochs — decides what is on disk before an epoch is promised or entered. It never chooses one.

use super::{Storage, Told, queue::Work, record::write_epoch};
use crate::{
    core::{ConnId, Deferred, Output},
    event::EventKind,
    name::Epoch,
    zookeeper::peer::Message,
};

/// The name of the acceptedEpoch file.
pub(super) const ACCEPTED_EPOCH: &str = "acceptedEpoch";
/// The name of the currentEpoch file.
pub(super) const CURRENT_EPOCH: &str = "currentEpoch";

impl Storage {
    /// The promise on disk, or on its way there, not to follow an older epoch.
    pub fn accepted_epoch(&self) -> Epoch {
        self.accepted_epoch
    }

    /// The newest epoch whose leader's history this log holds.
    pub fn current_epoch(&self) -> Epoch {
        self.current_epoch
    }

    /// Promises not to follow an older epoch than this one.
    pub fn accept_epoch(&mut self, epoch: Epoch, out: &mut Output<Message>) {
        assert!(epoch > self.accepted_epoch, "accepted epochs go up");
        self.accepted_epoch = epoch;
        self.replace(ACCEPTED_EPOCH, write_epoch(epoch), out);
        self.after_file(ACCEPTED_EPOCH, Deferred::Note(EventKind::EpochAccepted { epoch }), out);
    }

    /// Promises not to follow an older epoch than this one, as long as this process lives
    /// ([`Defect::ZabEpochNotWritten`](crate::defect::Defect::ZabEpochNotWritten)).
    pub fn accept_epoch_in_memory(&mut self, epoch: Epoch) {
        self.accepted_epoch = epoch;
    }

    /// Sends once the accepted epoch is durable.
    pub fn send_when_accepted(
        &mut self,
        conn: ConnId,
        message: impl Into<Message>,
        out: &mut Output<Message>,
    ) {
        self.after_file(ACCEPTED_EPOCH, Deferred::Send { conn, message: message.into() }, out);
    }

    /// Tells once the accepted epoch is durable.
    pub fn tell_when_accepted(&mut self, out: &mut Output<Message>) {
        self.tell(&ACCEPTED_EPOCH.into(), Told::Accepted(self.accepted_epoch), out);
    }

    /// Enters an epoch: first the whole log becomes durable, only then currentEpoch is written
    /// (ZOOKEEPER-4643 had it the other way round).
    pub fn enter_epoch(&mut self, epoch: Epoch, out: &mut Output<Message>) {
        assert!(epoch >= self.current_epoch && epoch <= self.accepted_epoch, "an epoch is accepted first");
        self.current_epoch = epoch;
        if let Some(file) = self.files.last() {
            self.queue.push(Work::Barrier(file.name.clone()), out);
        }
        self.replace(CURRENT_EPOCH, write_epoch(epoch), out);
        self.after_file(CURRENT_EPOCH, Deferred::Note(EventKind::EpochEntered { epoch }), out);
    }

    /// Sends once the current epoch is durable, and all that was logged before it.
    pub fn send_when_entered(
        &mut self,
        conn: ConnId,
        message: impl Into<Message>,
        out: &mut Output<Message>,
    ) {
        self.after_file(CURRENT_EPOCH, Deferred::Send { conn, message: message.into() }, out);
    }

    /// Tells once the current epoch is durable, and all that was logged before it.
    pub fn tell_when_entered(&mut self, out: &mut Output<Message>) {
        self.tell(&CURRENT_EPOCH.into(), Told::Entered(self.current_epoch), out);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::workshop::{Workshop, record, write},
        *,
    };
    use crate::core::{DiskOp, Effect, Files};

    /// "NEWLEADER: append …, fsync; **then** currentEpoch file; **then** ACK" (ZOOKEEPER-4643).
    #[test]
    fn current_epoch_is_written_only_when_the_log_is_durable() {
        let mut workshop = Workshop::on(Files::new());
        workshop.storage.accept_epoch(Epoch(1), &mut workshop.out);
        workshop.settle();
        workshop.storage.append(record(1, 1), &mut workshop.out);
        workshop.storage.enter_epoch(Epoch(1), &mut workshop.out);
        let writes = |effect: &Effect<Message>| matches!(effect, Effect::Disk(DiskOp::Replace { file, .. }) if &**file == CURRENT_EPOCH);
        assert!(!workshop.out.effects().iter().any(writes));
        workshop.settle();
        assert_eq!(&*workshop.files[CURRENT_EPOCH], b"1");
        assert_eq!(workshop.notes.last(), Some(&EventKind::EpochEntered { epoch: Epoch(1) }));
    }

    #[test]
    fn epochs_are_found_again() {
        let mut workshop = Workshop::on(Files::new());
        workshop.storage.accept_epoch(Epoch(3), &mut workshop.out);
        workshop.settle();
        workshop.storage.enter_epoch(Epoch(3), &mut workshop.out);
        workshop.storage.accept_epoch(Epoch(4), &mut workshop.out);
        workshop.settle();
        let again = workshop.reopened().storage;
        assert_eq!((again.accepted_epoch(), again.current_epoch()), (Epoch(4), Epoch(3)));
    }

    #[test]
    #[should_panic(expected = "accepted epochs go up")]
    fn promise_is_never_taken_back() {
        let mut workshop = Workshop::on(Files::new());
        workshop.storage.accept_epoch(Epoch(3), &mut workshop.out);
        workshop.storage.accept_epoch(Epoch(3), &mut workshop.out);
    }

    #[test]
    fn damaged_epoch_file_refuses_to_start() {
        let mut files = Workshop::on(Files::new()).files;
        let bytes = b"many".as_slice().into();
        write(&mut files, DiskOp::Replace { file: CURRENT_EPOCH.into(), bytes });
        assert!(super::super::restore(&files).is_err());
    }
}

//! Ghost — what the explorer remembers of the past of a state, and what must hold in every state. Kept as
//! small as the invariants need, so that ways that differ in nothing else lead to the same state.

use super::*;

/// What has been promised so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    leaders: BTreeMap<Epoch, HostId>,
    names: BTreeMap<Zxid, Digest>,
    pub(crate) committed: BTreeSet<Zxid>,
    /// acceptedEpoch and currentEpoch as told to be on disk.
    epochs: BTreeMap<HostId, (Epoch, Epoch)>,
    /// Which servers serve, and in which epoch.
    pub(crate) serving: BTreeMap<HostId, Epoch>,
}

impl Ghost {
    /// Takes in an event; what it breaks, if anything. `is_durable` says what is on the server's disk.
    pub(crate) fn observe(
        &mut self,
        host: HostId,
        event: &EventKind,
        is_durable: impl Fn(Zxid) -> bool,
    ) -> Result<(), String> {
        match event {
            EventKind::LeaderEstablished { epoch, history } => self.establish(host, *epoch, history)?,
            EventKind::FollowerSynced { epoch, .. } => _ = self.serving.insert(host, *epoch),
            EventKind::RoleLost { .. } | EventKind::HostCrashed { .. } => _ = self.serving.remove(&host),
            EventKind::TxnProposed { zxid, digest, .. } | EventKind::TxnLogged { zxid, digest } => {
                self.name(*zxid, *digest)?;
            }
            EventKind::TxnAcked { zxid } if !is_durable(*zxid) => {
                return Err(format!(
                    "acked is durable: {host} acknowledged {zxid}, which is not on its disk"
                ));
            }
            EventKind::TxnCommitted { zxid, digest } => {
                self.name(*zxid, *digest)?;
                self.committed.insert(*zxid);
            }
            EventKind::TxnApplied { zxid, digest } => {
                self.name(*zxid, *digest)?;
                if !self.committed.contains(zxid) {
                    return Err(format!("log agreement: {host} applied {zxid}, which is not committed"));
                }
            }
            EventKind::EpochAccepted { epoch } => self.accept(host, *epoch)?,
            EventKind::EpochEntered { epoch } => self.enter(host, *epoch)?,
            EventKind::ServerRestored { accepted_epoch, current_epoch, .. } => {
                let (accepted, current) = self.epochs.get(&host).copied().unwrap_or_default();
                if *accepted_epoch < accepted || *current_epoch < current {
                    return Err(format!("epochs grow: {host} restored {accepted_epoch} after {accepted}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn establish(&mut self, host: HostId, epoch: Epoch, history: &[TxnRef]) -> Result<(), String> {
        if let Some(other) = self.leaders.insert(epoch, host) {
            return Err(format!("one leader an epoch: {host} is established in {epoch}, as {other} was"));
        }
        let has: BTreeSet<_> = history.iter().map(|txn| txn.zxid).collect();
        if let Some(lost) = self.committed.iter().find(|zxid| zxid.epoch() < epoch && !has.contains(zxid)) {
            return Err(format!("committed survives: {host} is established in {epoch} without {lost}"));
        }
        history.iter().try_for_each(|txn| self.name(txn.zxid, txn.digest))?;
        self.committed.extend(has);
        self.serving.insert(host, epoch);
        Ok(())
    }

    fn name(&mut self, zxid: Zxid, digest: Digest) -> Result<(), String> {
        match self.names.insert(zxid, digest) {
            Some(other) if other != digest => {
                Err(format!("log agreement: {zxid} names {:x} and {:x}", digest.0, other.0))
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, host: HostId, epoch: Epoch) -> Result<(), String> {
        let (accepted, _) = self.epochs.entry(host).or_default();
        if epoch <= *accepted {
            return Err(format!("epochs grow: {host} accepted {epoch} after {accepted}"));
        }
        *accepted = epoch;
        Ok(())
    }

    fn enter(&mut self, host: HostId, epoch: Epoch) -> Result<(), String> {
        let (_, current) = self.epochs.entry(host).or_default();
        if epoch < *current {
            return Err(format!("epochs grow: {host} entered {epoch} after {current}"));
        }
        *current = epoch;
        Ok(())
    }
}

//! Disks — decides what of a file is durable, and what a crash leaves of the rest.

use super::*;

impl World {
    pub(super) fn write(&mut self, id: HostId, op: DiskOp) {
        let files = &mut self.hosts.get_mut(&id).expect("a host").files;
        let file = files.entry(op.file().clone()).or_default();
        match op {
            DiskOp::Append { bytes, .. } => {
                let before = file.visible.take().unwrap_or_default();
                file.visible = Some([&*before, &*bytes].concat().into());
            }
            DiskOp::Truncate { len, .. } => {
                let before = file.visible.take().expect("a file is there when it is cut");
                assert!(before.len() as u64 >= len, "a file is never cut longer");
                file.visible = Some(before[..len as usize].into());
            }
            DiskOp::Replace { bytes, .. } => file.visible = Some(bytes),
            DiskOp::Remove { .. } => file.visible = None,
        }
    }

    pub(super) fn synced(
        &mut self,
        id: HostId,
        incarnation: u32,
        file: FileName,
        content: Option<Arc<[u8]>>,
        then: Deferred<Message>,
    ) {
        let host = self.hosts.get_mut(&id).expect("a host");
        if host.server.is_none() || host.incarnation != incarnation {
            return;
        }
        host.files.entry(file).or_default().durable = content;
        match then {
            Deferred::Send { conn, message } => self.send((id, conn), message),
            Deferred::Tell { token } => self.step(id, incarnation, Input::Synced { token }),
            Deferred::Note(event) => self.events.push((self.now, id, event)),
        }
        self.crashes_here(id);
    }
}

/// Half of what was appended since the last sync survives.
pub(super) fn torn(file: &File) -> Option<Arc<[u8]>> {
    match (&file.visible, &file.durable) {
        (Some(visible), None) => Some(visible[..visible.len() / 2].into()),
        (Some(visible), Some(durable)) if visible.starts_with(durable) => {
            Some(visible[..(visible.len() + durable.len()) / 2].into())
        }
        _ => file.durable.clone(),
    }
}

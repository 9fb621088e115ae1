//! Sync — decides whether a client that has asked its server to catch up is shown all that was committed
//! when it asked. It never judges a read without it.

use std::collections::BTreeMap;

use crate::{
    check::{
        clients::{Connections, connections::Client},
        hosts::is_new_life,
        law::{Law, Monitor},
        verdict::{Judged, broken},
    },
    event::{Event, EventKind},
    name::{Epoch, HostId, Zxid},
};

pub(in crate::check) const SYNC: Law = Law {
    name: "client.sync",
    sentence: "After a sync a client is shown all that was committed before it asked for it.",
    source: "ZooKeeper programmer's guide, consistency guarantees; Leader.java, processSync; CommitProcessor.java, \
             matchSyncs; ZOOKEEPER-2136",
    monitor: || Box::<Sync>::default(),
};

/// Allowed: a leader that is deposed and does not know it yet answers a sync without asking anybody, and so
/// do its learners: then only what was committed up to its own epoch can be asked for. What comes after the
/// sync on the same session is for `session.monotonic`.
#[derive(Default)]
struct Sync {
    connections: Connections,
    /// The last transaction committed in each epoch.
    committed: BTreeMap<Epoch, Zxid>,
    /// The epoch in which each server serves.
    epochs: BTreeMap<HostId, Epoch>,
    asked: BTreeMap<(Client, i32), Vec<(Epoch, Zxid)>>,
}

impl Sync {
    fn commit(&mut self, epoch: Epoch, zxid: Zxid) -> Judged {
        let last = self.committed.entry(epoch).or_default();
        *last = zxid.max(*last);
        Ok(())
    }

    fn establish(&mut self, host: HostId, epoch: Epoch, end: Option<Zxid>) -> Judged {
        self.epochs.insert(host, epoch);
        end.map_or(Ok(()), |end| self.commit(epoch, end))
    }

    fn reply(&mut self, event: &Event, client: Client, xid: i32, zxid: Zxid) -> Judged {
        let Some(known) = self.asked.remove(&(client, xid)) else { return Ok(()) };
        let server = self.connections.server(client);
        let Some(epoch) = server.and_then(|server| self.epochs.get(&server)) else { return Ok(()) };
        let ours = known.iter().filter(|(committed, _)| committed <= epoch).map(|(_, last)| *last);
        let expected = ours.max().unwrap_or_default();
        if zxid >= expected {
            return Ok(());
        }
        broken(
            event,
            format!(
                "session {} synced with {} and is shown {zxid}, but {expected} was committed when it asked",
                client.1,
                server.map_or("its server".to_owned(), |server| server.to_string())
            ),
        )
    }
}

impl Monitor for Sync {
    fn observe(&mut self, event: &Event) -> Judged {
        self.connections.observe(event);
        let Some(host) = event.host else { return Ok(()) };
        match &event.kind {
            EventKind::TxnCommitted { zxid, .. } => self.commit(zxid.epoch(), *zxid),
            EventKind::LeaderEstablished { epoch, history } => {
                self.establish(host, *epoch, history.last().map(|txn| txn.zxid))
            }
            EventKind::FollowerSynced { epoch, .. } => self.establish(host, *epoch, None),
            EventKind::ClientAsked { session, xid, op, .. } if op == "sync" => {
                let known = self.committed.iter().map(|(epoch, zxid)| (*epoch, *zxid)).collect();
                self.asked.insert(((host, *session), *xid), known);
                Ok(())
            }
            EventKind::ClientReplied { session, xid, op, zxid, error: 0, .. } if op == "sync" => {
                self.reply(event, (host, *session), *xid, *zxid)
            }
            kind if is_new_life(kind) => {
                self.epochs.remove(&host);
                self.asked.retain(|((owner, _), _), _| *owner != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{
            clients::story::{Story, made},
            record::{txn, zk},
        },
        event::EventKind as E,
        name::Epoch,
    };

    const LAW: &str = "client.sync";

    fn synced(at: u32) -> Story {
        let mut story = Story::new();
        story.connect(1, 1, false).write(vec![made("/a", 1)]).ask(1, 1, "sync", "/", "");
        story.write(vec![made("/b", 2)]).answer(1, 1, at, ("sync", "/"), Ok(None));
        story
    }

    #[test]
    fn sync_that_misses_what_was_committed_before_fails() {
        synced(0).record.assert_fails(
            LAW,
            "session 0x1 synced with zk-1 and is shown 0x100000000, but 0x100000001 was committed when it asked",
        );
    }

    #[test]
    fn what_was_committed_since_need_not_be_shown() {
        synced(1).record.assert_passes(LAW);
    }

    #[test]
    fn deposed_leader_answers_by_itself() {
        let mut story = Story::new();
        story.connect(1, 1, false).write(vec![made("/a", 1)]);
        let next = txn(2, 1);
        story.record.on(zk(2), E::LeaderEstablished { epoch: Epoch(2), history: vec![txn(1, 1)] });
        story.record.on(zk(2), E::TxnCommitted { zxid: next.zxid, digest: next.digest });
        story.ask(1, 1, "sync", "/", "").answer(1, 1, 1, ("sync", "/"), Ok(None));
        story.record.assert_passes(LAW);
        story.ask(1, 2, "sync", "/", "").answer(1, 2, 0, ("sync", "/"), Ok(None));
        story.record.assert_fails(LAW, "is shown 0x100000000, but 0x100000001 was committed when it asked");
    }
}

//! Broadcast — decides which zxid a write gets and when it is committed. It never decides what a write
//! becomes.

use std::sync::Arc;

use super::Leader;
use crate::{
    core::{ConnId, Output},
    defect::Defect,
    event::EventKind,
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        log::Record,
        peer::{Ask, LeaderFrame, LearnerFrame, Message, Write},
        request::{Asker, Desk},
        told,
        txn::{Txn, TxnHeader},
        wire::Op,
        zab::{GiveUp, Replica, Turn},
    },
};

/// A client's sync that waits for what was proposed before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PendingSync {
    behind: Zxid,
    conn: ConnId,
    frame: LeaderFrame,
}

impl Leader {
    /// Numbers and proposes a write that came through the server `owner`.
    ///
    /// # Errors
    ///
    /// If the epoch has no zxid left.
    pub fn submit(&mut self, owner: HostId, write: Write, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        let zxid = self.proposals.next_zxid().ok_or(GiveUp("the epoch has no zxid left"))?;
        let (session, xid) = (write.session, write.xid);
        let header = TxnHeader { session, xid, zxid, wall_ms: turn.now.wall_ms };
        let mut logged = match write.ask {
            Ask::Open { timeout_ms } => {
                let now = turn.now.mono;
                self.preparer.prepare_session(&mut self.sessions, owner, header, timeout_ms, now)
            }
            Ask::Op(op) if op.is_write() => {
                let Replica { tree: db, config, .. } = &*turn.replica;
                let desk = Desk { db, sessions: &mut self.sessions, config };
                self.preparer.prepare(desk, Asker { owner, ids: &write.ids }, header, &op)
            }
            Ask::Op(_) => return Ok(()),
        };
        if turn.replica.defects.has(Defect::SessionLeavesEphemerals)
            && let Txn::CloseSession { paths } = &mut logged.txn
        {
            paths.retain(|path| turn.replica.tree.ephemerals_of(session).any(|node| **node == **path));
        }
        self.propose(Arc::new(Record::new(logged)), turn);
        Ok(())
    }

    /// Commits the oldest proposal if a quorum has it; then it is to be applied.
    pub fn next_committed(&mut self, turn: &mut Turn<'_>) -> Option<Arc<Record>> {
        if !self.serves() {
            return None;
        }
        let record = self.proposals.pop_committed()?;
        let zxid = record.zxid();
        turn.out.note(EventKind::TxnCommitted { zxid, digest: record.digest() });
        for (conn, _) in self.followers.iter().filter(|(_, follower)| follower.gets_proposals()) {
            turn.out.send(*conn, LeaderFrame::Commit { zxid });
        }
        while let Some(sync) = self.syncs.pop_front_if(|sync| sync.behind <= zxid) {
            turn.out.send(sync.conn, sync.frame);
        }
        Some(record)
    }

    /// A committed transaction has been applied to this server's tree.
    pub fn applied(&mut self, record: &Record) {
        self.preparer.committed(record.zxid());
        if matches!(record.txn().txn, Txn::CloseSession { .. }) {
            self.sessions.remove(record.txn().header.session);
        }
    }

    /// What a follower says while it follows.
    pub(super) fn serve(
        &mut self,
        conn: ConnId,
        host: HostId,
        frame: LearnerFrame,
        turn: &mut Turn<'_>,
    ) -> Result<(), GiveUp> {
        match frame {
            LearnerFrame::Ack { zxid } => {
                self.follower(conn).acked(zxid);
                self.proposals.ack(zxid, host);
            }
            LearnerFrame::Request(write) => self.submit(host, write, turn)?,
            LearnerFrame::Sync { session, xid } => {
                self.sync(conn, LeaderFrame::Synced { session, xid }, turn.out);
            }
            LearnerFrame::Revalidate { session, timeout_ms } => {
                let alive = self.claim(session, timeout_ms, host, turn.now.mono);
                turn.out.send(conn, LeaderFrame::Revalidated { session, alive });
            }
            LearnerFrame::FollowerInfo { .. }
            | LearnerFrame::AckEpoch { .. }
            | LearnerFrame::Pong { .. }
            | LearnerFrame::NewLeaderAck { .. } => self.cut_off(conn, turn.out),
        }
        Ok(())
    }

    /// A sync is answered behind the commit of all that was proposed before it.
    pub(super) fn sync(&mut self, conn: ConnId, frame: LeaderFrame, out: &mut Output<Message>) {
        if self.proposals.is_empty() {
            out.send(conn, frame);
        } else {
            self.syncs.push_back(PendingSync { behind: self.proposals.last(), conn, frame });
        }
    }

    pub(super) fn propose(&mut self, record: Arc<Record>, turn: &mut Turn<'_>) {
        let zxid = record.zxid();
        turn.out.note(told::proposed(record.txn(), record.digest()));
        self.proposals.add(record.clone());
        for (conn, follower) in self.followers.iter_mut().filter(|(_, follower)| follower.gets_proposals()) {
            follower.proposed(zxid, turn.now.mono);
            turn.out.send(*conn, LeaderFrame::Proposal(record.clone()));
        }
        turn.replica.storage.append(record, turn.out);
        if turn.replica.defects.has(Defect::ZabAckBeforeSync) {
            turn.out.note(EventKind::TxnAcked { zxid });
            self.proposals.ack(zxid, turn.replica.me);
        } else {
            turn.replica.storage.tell_when_logged(turn.out);
        }
    }

    pub(super) fn expire_sessions(&mut self, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        for session in self.sessions.expire(turn.now.mono) {
            turn.out.note(EventKind::SessionExpired { session });
            let ask = Ask::Op(Op::CloseSession);
            let close = Write { session, xid: 0, ids: Arc::default(), ask };
            self.submit(turn.replica.me, close, turn)?;
        }
        Ok(())
    }
    /// Lets go of containers and TTL nodes that nobody needs; whether a node still can go is judged like any
    /// other write.
    pub(super) fn reap(&mut self, turn: &mut Turn<'_>) -> Result<(), GiveUp> {
        while let Some(path) = self.reaper.next(&turn.replica.tree, turn.now) {
            let ask = Ask::Op(Op::DeleteContainer { path: path.to_string() });
            let delete = Write { session: SessionId::NONE, xid: 0, ids: Arc::default(), ask };
            self.submit(turn.replica.me, delete, turn)?;
        }
        Ok(())
    }
}

//! Broadcast — decides which zxid a write gets and when it is committed. It never decides what a write
//! becomes.

use std::sync::Arc;

use super::{Leader, proposals::Chosen};
use crate::{
    core::{ConnId, Output},
    defect::Defect,
    event::EventKind,
    name::{HostId, SessionId, Zxid},
    zookeeper::{
        log::Record,
        membership::{Membership, Role, Wish},
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
        let logged = match write.ask {
            Ask::Open { timeout_ms } => {
                let now = turn.now.mono;
                self.preparer.prepare_session(&mut self.sessions, owner, header, timeout_ms, now)
            }
            Ask::Op(Op::Reconfig { joining, leaving, members, from_config }) => {
                let wish = Wish {
                    joining: joining.as_deref(),
                    leaving: leaving.as_deref(),
                    members: members.as_deref(),
                };
                let asker = Asker { owner, ids: &write.ids };
                self.prepare_reconfig(asker, header, (wish, from_config), turn)
            }
            Ask::Op(op) if op.is_write() => {
                let Replica { tree: db, config, .. } = &*turn.replica;
                let desk = Desk { db, sessions: &mut self.sessions, config };
                self.preparer.prepare(desk, Asker { owner, ids: &write.ids }, header, &op)
            }
            Ask::Op(_) => return Ok(()),
        };
        let unmarked = turn.replica.defects.has(Defect::SessionLeavesEphemerals);
        if unmarked && matches!(logged.txn, Txn::CloseSession { .. }) {
            self.sessions.remove(session);
            self.sessions.open(session, turn.replica.config.session_timeout_max_ms(), turn.now.mono);
        }
        self.propose(Arc::new(Record::new(logged)), turn);
        Ok(())
    }

    /// Commits the oldest proposal if a quorum has it; then it is to be applied.
    pub fn next_committed(&mut self, turn: &mut Turn<'_>) -> Option<Arc<Record>> {
        if !self.serves() || !self.may_commit {
            return None;
        }
        let Chosen { record, acks, quorums } = self.proposals.pop_chosen()?;
        let zxid = record.zxid();
        turn.out.note(EventKind::TxnCommitted { zxid, digest: record.digest() });
        if matches!(record.txn().txn, Txn::Reconfig { .. }) {
            let leader = self.activate(quorums.newest().clone(), acks, turn);
            let inform = LeaderFrame::InformAndActivate { record: record.clone(), leader };
            self.announce(LeaderFrame::CommitAndActivate { zxid, leader }, inform, turn.out);
        } else {
            self.announce(LeaderFrame::Commit { zxid }, LeaderFrame::Inform(record.clone()), turn.out);
        }
        while let Some(sync) = self.syncs.pop_front_if(|sync| sync.behind <= zxid) {
            turn.out.send(sync.conn, sync.frame);
        }
        Some(record)
    }

    /// Tells followers one thing and observers the other.
    fn announce(&self, commit: LeaderFrame, inform: LeaderFrame, out: &mut Output<Message>) {
        for (conn, follower) in self.followers.iter().filter(|(_, follower)| follower.is_forwarded_to()) {
            let frame = match follower.role {
                Role::Participant => &commit,
                Role::Observer => &inform,
            };
            out.send(*conn, frame.clone());
        }
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
        if let Some(configuration) = Membership::proposed_by(record.txn()) {
            turn.replica.see_configuration(configuration, turn.out);
        }
        self.proposals.add(record.clone(), turn.replica.views.quorums().clone());
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

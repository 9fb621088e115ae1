//! Joining — decides, at the leader, how a learner comes to follow: what it promises, how it is brought
//! level, when it may serve. It never decides when the leader itself may.

use super::{
    Leader, Stage,
    follower::Stage as FollowerStage,
    sync::{self, LearnerLog, Plan},
};
use crate::{
    core::{ConnId, Output},
    defect::Defect,
    name::{Epoch, HostId, HostKind, Zxid},
    zookeeper::{
        log::write_snapshot,
        membership::Role,
        peer::{LeaderFrame, Message},
        zab::Turn,
    },
};

/// What a learner says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Introduction {
    pub(super) server: HostId,
    pub(super) role: Role,
    pub(super) accepted_epoch: Epoch,
    /// The version of its committed configuration.
    pub(super) configuration: Zxid,
}

impl Leader {
    /// FOLLOWERINFO. A learner that comes again replaces its former connection. One that goes by a later
    /// configuration is not for this leader; one that is in none is welcome, but has no vote.
    pub(super) fn meet(&mut self, conn: ConnId, learner: Introduction, turn: &mut Turn<'_>) {
        let Introduction { server, role, accepted_epoch, configuration } = learner;
        let last_epoch = accepted_epoch == Epoch(u32::MAX);
        let is_server = server.kind == HostKind::ZooKeeper && server.number > 0;
        let ahead = configuration > turn.replica.views.committed().version();
        if last_epoch || ahead || server == turn.replica.me || !is_server {
            return self.cut_off(conn, turn.out);
        }
        let former = self.followers.iter().find(|(_, follower)| follower.host == Some(server));
        if let Some(former) = former.map(|(conn, _)| *conn) {
            self.cut_off(former, turn.out);
        }
        let follower = self.followers.get_mut(&conn).expect("it just spoke");
        (follower.host, follower.role) = (Some(server), role);
        if self.stage == Stage::Discovery {
            self.promised.insert(server, accepted_epoch);
        }
        follower.stage = FollowerStage::Met;
        if self.stage != Stage::Discovery {
            self.inform(conn, turn);
        }
    }

    /// LEADERINFO, once this server's own promise is on disk.
    pub(super) fn inform(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.follower(conn).stage = FollowerStage::Informed;
        let frame = LeaderFrame::LeaderInfo { epoch: self.epoch };
        turn.replica.storage.send_when_accepted(conn, frame, turn.out);
    }

    /// ACKEPOCH. "A follower that is ahead (epoch, zxid) … not counted. Later joiners are not checked."
    pub(super) fn epoch_accepted(
        &mut self,
        conn: ConnId,
        current_epoch: Option<Epoch>,
        log: LearnerLog,
        turn: &mut Turn<'_>,
    ) {
        let follower = self.follower(conn);
        follower.stage = FollowerStage::Accepted { log };
        let host = follower.host.expect("it has introduced itself");
        match current_epoch {
            _ if self.stage != Stage::EpochProposed => self.synchronize(conn, log, turn),
            Some(epoch) if (epoch, log.last) > self.own => self.cut_off(conn, turn.out),
            Some(_) => {
                self.acked.insert(host);
            }
            None => {}
        }
    }

    /// The acknowledgement of NEWLEADER.
    pub(super) fn history_accepted(&mut self, conn: ConnId, host: HostId, turn: &mut Turn<'_>) {
        self.follower(conn).stage = FollowerStage::Synchronized;
        if self.serves() {
            self.admit(conn, turn.out);
        } else {
            self.acked.insert(host);
        }
    }

    pub(super) fn admit(&mut self, conn: ConnId, out: &mut Output<Message>) {
        self.follower(conn).stage = FollowerStage::Following;
        out.send(conn, LeaderFrame::UpToDate);
    }

    /// Brings a learner level: the committed history, then what is proposed, then NEWLEADER. From here on
    /// it gets every proposal; an observer gets none, but what is committed.
    pub(super) fn synchronize(&mut self, conn: ConnId, log: LearnerLog, turn: &mut Turn<'_>) {
        let replica = &*turn.replica;
        let committed = replica.applied();
        let (first, after) = match sync::plan(&replica.storage, committed, log) {
            Plan::Diff { after } => (LeaderFrame::Diff, after),
            Plan::Trunc { to } if replica.defects.has(Defect::ZabTruncLeftOut) => (LeaderFrame::Diff, to),
            Plan::Trunc { to } => (LeaderFrame::Trunc { zxid: to }, to),
            Plan::Snap => {
                let bytes = write_snapshot(&replica.tree);
                (LeaderFrame::Snap { zxid: committed, bytes }, committed)
            }
        };
        turn.out.send(conn, first);
        for record in replica.storage.after(after).take_while(|record| record.zxid() <= committed) {
            turn.out.send(conn, LeaderFrame::Proposal(record.clone()));
            turn.out.send(conn, LeaderFrame::Commit { zxid: record.zxid() });
        }
        if self.follower(conn).role == Role::Participant {
            for record in self.proposals.outstanding() {
                turn.out.send(conn, LeaderFrame::Proposal(record.clone()));
            }
        }
        let configuration = turn.replica.views.proposed().clone();
        turn.out.send(conn, LeaderFrame::NewLeader { epoch: self.epoch, configuration });
        self.follower(conn).stage = FollowerStage::Synchronizing;
    }
}

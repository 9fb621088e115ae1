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
    name::{Epoch, HostId},
    zookeeper::{
        log::write_snapshot,
        peer::{LeaderFrame, Message},
        zab::Turn,
    },
};

impl Leader {
    /// FOLLOWERINFO. A learner that comes again replaces its former connection.
    pub(super) fn meet(&mut self, conn: ConnId, server: HostId, accepted_epoch: Epoch, turn: &mut Turn<'_>) {
        let last_epoch = accepted_epoch == Epoch(u32::MAX);
        if last_epoch || server == turn.replica.me || !turn.replica.config.servers.contains(&server) {
            return self.cut_off(conn, turn.out);
        }
        let former = self.followers.iter().find(|(_, follower)| follower.host == Some(server));
        if let Some(former) = former.map(|(conn, _)| *conn) {
            self.cut_off(former, turn.out);
        }
        let follower = self.followers.get_mut(&conn).expect("it just spoke");
        follower.host = Some(server);
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
    /// it gets every proposal.
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
        for record in self.proposals.outstanding() {
            turn.out.send(conn, LeaderFrame::Proposal(record.clone()));
        }
        turn.out.send(conn, LeaderFrame::NewLeader { epoch: self.epoch });
        self.follower(conn).stage = FollowerStage::Synchronizing;
    }
}

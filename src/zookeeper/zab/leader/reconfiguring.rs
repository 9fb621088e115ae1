//! Reconfiguring — decides, at the leader, who leads an ensemble that has changed. It never decides how an
//! ensemble may change.

use super::{Leader, follower::Follower};
use crate::{
    name::HostId,
    zookeeper::{
        membership::{Membership, Wish},
        request::{Asker, Desk, Standing},
        txn::{LoggedTxn, TxnHeader},
        zab::{Replica, Turn},
    },
};

impl Leader {
    /// Turns a reconfiguration into a transaction. Of the new voters a quorum has to be connected and level
    /// with this leader (`isQuorumSynced`).
    pub(super) fn prepare_reconfig(
        &mut self,
        asker: Asker<'_>,
        header: TxnHeader,
        (wish, from_config): (Wish<'_>, i64),
        turn: &Turn<'_>,
    ) -> LoggedTxn {
        let Replica { views, tree: db, config, me, .. } = &*turn.replica;
        let standing = match views.is_changing() {
            _ if config.is_standalone() => Standing::Standalone,
            true => Standing::InProgress,
            false => Standing::Settled { version: views.proposed().version().0 as i64 },
        };
        let level = |follower: &Follower| follower.gets_proposals() && follower.is_synced();
        let synced: Vec<HostId> =
            self.live(turn).filter(|follower| level(follower)).filter_map(|follower| follower.host).collect();
        let plan = || {
            let is_synced = |voter| voter == *me || synced.contains(&voter);
            let wished = views.reconfigured(wish, header.zxid, config.standalone_enabled, is_synced)?;
            Ok(wished.to_string())
        };
        let desk = Desk { db, sessions: &mut self.sessions, config };
        self.preparer.prepare_reconfig(desk, asker, header, from_config, standing, plan)
    }

    /// A configuration to which these have agreed holds from now on; who leads it. If that is another server
    /// this one commits nothing more, and goes when its followers have left.
    pub(super) fn activate(
        &mut self,
        configuration: Membership,
        supporters: Vec<HostId>,
        turn: &mut Turn<'_>,
    ) -> HostId {
        let me = turn.replica.me;
        let leader = self.leader_of(&configuration, supporters, turn).unwrap_or(me);
        let changed = turn.replica.activate_configuration(configuration, turn.out).is_some();
        if changed && leader != me {
            turn.replica.appointed = Some(leader);
            self.may_commit = false;
        }
        leader
    }

    /// "committed with the designated next leader (self if still voter, else one that acked most)"
    /// (`getDesignatedLeader`).
    fn leader_of(
        &self,
        configuration: &Membership,
        supporters: Vec<HostId>,
        turn: &Turn<'_>,
    ) -> Option<HostId> {
        let me = turn.replica.me;
        let before = turn.replica.views.committed().member(me);
        let stays = configuration.is_voter(me)
            && before
                .zip(configuration.member(me))
                .is_none_or(|(before, after)| before.addresses.same_quorum_address(&after.addresses));
        if stays {
            return Some(me);
        }
        let votes = |host: &HostId| *host != me && configuration.is_voter(*host);
        self.proposals.most_up_to_date(supporters.into_iter().filter(votes).collect())
    }
}

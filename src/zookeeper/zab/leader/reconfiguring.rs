//! Reconfiguring — decides, at the leader, who leads an ensemble that has changed. It never decides how an
//! ensemble may change.

use super::{Leader, follower::Follower};
use crate::{
    name::HostId,
    zookeeper::{
        membership::{Membership, Wish},
        wire::ZkError,
        zab::Turn,
    },
};

impl Leader {
    /// The lines of the configuration that a reconfiguration comes to.
    ///
    /// # Errors
    ///
    /// Those of [`Views::reconfigured`](crate::zookeeper::membership::Views::reconfigured).
    pub(super) fn plan(&self, wish: Wish<'_>, turn: &Turn<'_>) -> Result<String, ZkError> {
        let version = self.proposals.next_zxid().expect("the write that asks has a zxid");
        let synced = |voter| {
            let level = |follower: &Follower| follower.gets_proposals() && follower.is_synced();
            voter == turn.replica.me || self.has_live(voter, level, turn)
        };
        let standalone = turn.replica.config.standalone_enabled;
        let wished = turn.replica.views.reconfigured(wish, version, standalone, synced)?;
        Ok(wished.lines())
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

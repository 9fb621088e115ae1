//! Membership — decides which error a reconfig gets, and in which order the errors come. It never reads a
//! membership: that belongs to whoever knows the ensemble.

use super::{outstanding::NodeView, preparation::Preparation};
use crate::zookeeper::{
    access,
    tree::CONFIG,
    txn::Txn,
    wire::{ZkError, perms},
};

/// How the configuration of the ensemble stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is no ensemble.
    Standalone,
    /// A reconfiguration is proposed and not committed.
    InProgress,
    /// This is the version of the configuration: the zxid of the reconfiguration that made it.
    Settled {
        /// As it is on the wire.
        version: i64,
    },
}

/// The version that matches every version.
const ANY_VERSION: i64 = -1;

/// The data version of `/zookeeper/config` after every reconfiguration.
const CONFIG_VERSION: i32 = -1;

impl Preparation<'_> {
    /// ReconfigDisabled, the session, Unimplemented without an ensemble, ReconfigInProgress, BadVersion, what
    /// is wrong with the plan, and last NoAuth without WRITE on `/zookeeper/config`
    /// (`PrepRequestProcessor.java`).
    pub(super) fn reconfig(
        &mut self,
        from: i64,
        standing: Standing,
        plan: impl FnOnce() -> Result<String, ZkError>,
    ) -> Result<Txn, ZkError> {
        if !self.desk.config.reconfig_enabled {
            return Err(ZkError::ReconfigDisabled);
        }
        self.check_session()?;
        match standing {
            Standing::Standalone => return Err(ZkError::Unimplemented),
            Standing::InProgress => return Err(ZkError::ReconfigInProgress),
            Standing::Settled { version } if from != ANY_VERSION && from != version => {
                return Err(ZkError::BadVersion);
            }
            Standing::Settled { .. } => {}
        }
        let members = plan()?;
        let node = self.node(CONFIG)?;
        access::permit(&node.acl, perms::WRITE, self.asker.ids)?;
        let version = CONFIG_VERSION;
        self.change(CONFIG, Some(NodeView { version, data_len: members.len() as i64, ..node }));
        Ok(Txn::Reconfig { members, version })
    }
}

//! Discovery — decides which nodes are members: those whose ephemeral registration exists. It never decides
//! what becomes of the shards of one that is not.
//!
//! A node is `/shardarium/nodes/<host>`: content its zone and attributes, owner its session. Who is meant is told by the
//! owner, never by the content: a node that restarts comes back under the same name, in another session.

use std::collections::BTreeMap;

use super::{state::NodeEntry, transport::Ctx};
use crate::{
    event::EventKind,
    name::{HostId, HostKind, SessionId},
    zookeeper::{
        client::{Client, ClientNews, ClientState, RequestId},
        recipes::{Follow, Layout, Ownership, Registration, Seen, What},
        wire::{Op, Reply, ZkError},
    },
};

/// Below it everything of the search cluster.
pub const ROOT: &str = "/shardarium";
/// Registrations, one ephemeral znode a node.
pub const NODES: &str = "/shardarium/nodes";
/// Tickets of candidates for controller.
pub const ELECTION: &str = "/shardarium/election";
/// The counter that controllers draw their epochs from.
pub const CONTROLLER_EPOCH: &str = "/shardarium/controller_epoch";
/// The cluster state.
pub const STATE: &str = "/shardarium/state";

/// The settings of the cluster and of its indices.
pub const SETTINGS: &str = "/shardarium/settings";
/// Topics of notices.
pub const NOTICES: &str = "/shardarium/notices";
/// The topic that the controller announces changes of the cluster on.
pub const CLUSTER_NOTICES: &str = "/shardarium/notices/cluster";

/// The persistent znodes, made by whichever node comes first.
pub fn layout() -> Layout {
    let paths = [ROOT, NODES, ELECTION, CONTROLLER_EPOCH, STATE, SETTINGS, NOTICES, CLUSTER_NOTICES];
    Layout::new(paths.iter().map(|path| ((*path).to_owned(), None)).collect())
}

/// A node's registration, and its view of the others.
#[derive(Debug)]
pub struct Discovery {
    registration: Registration,
    children: Follow,
    members: Option<Vec<HostId>>,
    roster: Roster,
}

/// Reads who is behind each name; only the controller wants to know.
#[derive(Debug, Default)]
struct Roster {
    wanted: bool,
    pending: BTreeMap<RequestId, HostId>,
    entries: BTreeMap<HostId, NodeEntry>,
    broken: bool,
}

impl Discovery {
    /// The discovery of node `me`, whose registration has this content ([`NodeEntry::content`]), and which
    /// tells its own registration from another's like this.
    pub fn new(me: HostId, content: &str, ownership: Ownership) -> Self {
        let registration = Registration::new(format!("{NODES}/{me}"), Some(content.as_bytes().into()));
        Self {
            registration: registration.with_ownership(ownership),
            children: Follow::new(NODES, What::Children),
            members: None,
            roster: Roster::default(),
        }
    }

    /// Begins to register and to follow the members, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.registration.begin(client);
        self.children.begin(client);
    }

    /// From now on, each reading of the members also tells their sessions and zones.
    pub fn read_entries(&mut self, client: &mut Client) {
        self.roster.wanted = true;
        if let Some(members) = &self.members {
            self.roster.read(client, members);
        }
    }

    /// Names are enough again.
    pub fn stop_entries(&mut self) {
        self.roster = Roster::default();
    }

    /// Takes a piece of news; returns the members' entries, if they are wanted and have just been read.
    pub fn news(
        &mut self,
        ctx: &mut Ctx<'_>,
        client: &mut Client,
        news: &ClientNews,
    ) -> Option<BTreeMap<HostId, NodeEntry>> {
        if let Some(session) = self.registration.news(client, news) {
            ctx.out.note(EventKind::NodeRegistered { session });
        }
        let read = self.roster.news(client, news, self.members.as_deref());
        if let Some(Seen::Children(names)) = self.children.news(client, news) {
            self.see(ctx, names.iter().filter_map(|name| member(name)).collect());
            self.roster.read(client, self.members.as_deref().unwrap_or_default());
        }
        read
    }

    fn see(&mut self, ctx: &mut Ctx<'_>, mut members: Vec<HostId>) {
        members.sort();
        if self.members.as_ref() != Some(&members) {
            ctx.out.note(EventKind::MembershipSeen { members: members.clone() });
            self.members = Some(members);
        }
    }
}

impl Roster {
    /// Every name is read again, since the same name may belong to another session by now.
    fn read(&mut self, client: &mut Client, members: &[HostId]) {
        if !self.wanted {
            return;
        }
        self.broken = false;
        self.entries.clear();
        let read = |member: &HostId| Op::GetData { path: format!("{NODES}/{member}"), watch: false };
        self.pending = members.iter().map(|member| (client.ask(read(member)), *member)).collect();
    }

    fn news(
        &mut self,
        client: &mut Client,
        news: &ClientNews,
        members: Option<&[HostId]>,
    ) -> Option<BTreeMap<HostId, NodeEntry>> {
        match news {
            ClientNews::Reply { id, result } => self.answered(*id, result),
            ClientNews::State(ClientState::Expired | ClientState::Closed) => {
                self.pending.clear();
                None
            }
            ClientNews::State(ClientState::Connected) if self.broken => {
                self.read(client, members.unwrap_or_default());
                None
            }
            _ => None,
        }
    }

    fn answered(
        &mut self,
        id: RequestId,
        result: &Result<Reply, ZkError>,
    ) -> Option<BTreeMap<HostId, NodeEntry>> {
        let member = self.pending.remove(&id)?;
        match result {
            Ok(Reply::Data { data, stat }) if stat.ephemeral_owner != SessionId::NONE => {
                let content = String::from_utf8_lossy(data.as_deref().unwrap_or_default());
                self.entries.insert(member, NodeEntry::of_content(stat.ephemeral_owner, &content));
            }
            // Gone since the names were read (the watch will tell), or nobody's.
            Ok(_) | Err(ZkError::NoNode) => {}
            Err(_) => self.broken = true,
        }
        (self.pending.is_empty() && !self.broken).then(|| std::mem::take(&mut self.entries))
    }
}

/// The search node that a registration's name stands for.
fn member(name: &str) -> Option<HostId> {
    name.parse().ok().filter(|host: &HostId| host.kind == HostKind::Search)
}

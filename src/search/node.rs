//! Node — decides which part of a search node an input is for, and carries news between the parts. It never
//! decides what a part makes of it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    core::{CloseReason, ConnId, Core, Entropy, Files, Input, Instant, Now, Output, Port},
    defect::Defects,
    event::EventKind,
    name::HostId,
    scenario::plan::SearchConfig,
    search::{
        allocation::{AllocatorFactory, info::DiskUsage},
        control::{Control, ControlConfig, ControlNews},
        coordination::{CoordinationMessage, Coordinator, Question, Serving, View},
        settings::SettingsDocument,
        shards::{ShardNews, Shards, ShardsConfig},
        state::ClusterState,
        stats::{DiskSize, Stats},
        transport::{Ctx, Links, Lost},
        wire::{Message, Transport},
    },
};

/// More rounds of news between the parts within one step than any real one takes.
const ROUNDS_MAX: u32 = 1_000;

/// Settings of a search node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This node.
    pub me: HostId,
    /// Its zone.
    pub zone: String,
    /// Its other attributes (`node.attr.*`).
    pub attributes: BTreeMap<String, String>,
    /// What makes its allocator when it is controller.
    pub allocator: AllocatorFactory,
    /// The ensemble.
    pub servers: Vec<HostId>,
    /// Settings of the search cluster.
    pub search: SearchConfig,
    /// Historic bugs switched on.
    pub defects: Defects,
    /// Whether the size of its disk is known.
    pub disk_size: DiskSize,
}

/// One search node: a [`Core`].
#[derive(Debug)]
pub struct Node {
    me: HostId,
    links: Links,
    parts: Parts,
}

#[derive(Debug)]
struct Parts {
    control: Control,
    shards: Shards,
    coordinator: Coordinator,
    serving: Serving,
    stats: Stats,
    applied: Option<Arc<ClusterState>>,
}

impl Node {
    /// A node that starts with what its disk holds.
    pub fn boot(config: NodeConfig, mut entropy: Entropy, files: &Files) -> Self {
        let NodeConfig { me, zone, attributes, allocator, servers, search, defects, disk_size } = config;
        let life = entropy.draw();
        let (timeout, read_policy) = (search.request_timeout, search.read_policy);
        let shards = ShardsConfig { search: search.clone(), defects: defects.clone() };
        let parts = Parts {
            control: Control::new(
                ControlConfig { me, zone, attributes, allocator, servers, search, defects },
                entropy,
            ),
            shards: Shards::boot(shards, files),
            coordinator: Coordinator::new(timeout, life, usize::from(me.number), read_policy),
            serving: Serving::new(timeout),
            stats: Stats::new(disk_size),
            applied: None,
        };
        Self { me, links: Links::new(timeout / 2), parts }
    }
}

impl Core for Node {
    type Message = Message;

    fn step(&mut self, now: Now, input: Input<Message>, out: &mut Output<Message>) {
        let mut ctx = Ctx { now, me: self.me, out, links: &mut self.links };
        self.parts.take(&mut ctx, input);
        self.parts.settle(&mut ctx);
    }

    fn next_wake(&self) -> Option<Instant> {
        self.parts.next_wake().into_iter().chain(self.links.next_wake()).min()
    }
}

impl Parts {
    fn take(&mut self, ctx: &mut Ctx<'_>, input: Input<Message>) {
        match input {
            Input::Start => self.control.start(ctx),
            Input::Wake => self.wake(ctx),
            Input::Connected { conn } if self.control.owns(conn) => self.control.connected(ctx, conn),
            Input::Connected { conn } => ctx.links.connected(conn),
            Input::Accepted { conn, from, port: Port::Transport } => {
                ctx.links.accepted(conn, from, ctx.out);
            }
            Input::Accepted { port: Port::Api, .. } => {}
            Input::Accepted { conn, .. } => ctx.out.close(conn),
            Input::Received { conn, message } => self.received(ctx, conn, message),
            Input::Closed { conn, reason } => self.closed(ctx, conn, reason),
            Input::Synced { token } => self.shards.synced(ctx, token),
            Input::DiskMeasured { total, free, files } => {
                self.stats.measured(ctx, self.applied.as_deref(), DiskUsage { total, free }, &files);
            }
            Input::DiskFailed { file, error, found } => self.shards.disk_failed(ctx, &file, error, &found),
            Input::Reread { file, bytes } => self.shards.reread(&file, &bytes),
            Input::Inspect => self.shards.inspect(ctx),
        }
    }

    fn received(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, message: Message) {
        match message {
            Message::FromZooKeeper(frame) if self.control.owns(conn) => {
                self.control.received(ctx, conn, frame);
            }
            Message::Transport(message) => {
                if let Some(from) = ctx.links.received(conn) {
                    self.transported(ctx, from, message);
                }
            }
            Message::Request(request) => {
                self.coordinator.note_pending_tasks(self.control.pending_tasks());
                let view = view(self.applied.as_ref(), &self.control, ctx);
                self.coordinator.request(ctx, view, conn, request);
            }
            // From a connection that was given up, or nothing that one says to a node.
            Message::FromZooKeeper(_) | Message::ToZooKeeper(_) | Message::Reply(_) => {}
        }
    }

    fn transported(&mut self, ctx: &mut Ctx<'_>, from: HostId, message: Transport) {
        match message {
            Transport::Shard(message) => self.shards.message(ctx, from, message),
            Transport::Control(message) => self.control.message(ctx, from, message),
            Transport::Coordination(message) => self.coordinate(ctx, from, message),
            Transport::Ping => ctx.send(from, Transport::Pong),
            Transport::Pong => {}
        }
    }

    fn coordinate(&mut self, ctx: &mut Ctx<'_>, from: HostId, message: CoordinationMessage) {
        let view = view(self.applied.as_ref(), &self.control, ctx);
        match message {
            CoordinationMessage::Ask { ticket, routed_by, ask } => {
                let question = Question { from, ticket, routed_by, ask };
                self.serving.ask(ctx, view, &mut self.shards, question);
            }
            CoordinationMessage::Answer { ticket, outcome } => {
                self.coordinator.answered(ctx, view, from, ticket, outcome);
            }
        }
    }

    fn closed(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, reason: CloseReason) {
        if self.control.owns(conn) {
            self.control.closed(ctx, conn, reason);
        } else {
            ctx.links.closed(conn, reason, ctx.out);
        }
    }

    fn wake(&mut self, ctx: &mut Ctx<'_>) {
        ctx.links.wake(ctx.now, ctx.out);
        self.tell_losses(ctx);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= ctx.now.mono);
        let [control, shards] = [self.control.next_wake(), self.shards.next_wake()].map(due);
        if control {
            self.control.wake(ctx);
        }
        if shards {
            self.shards.wake(ctx);
        }
        self.serving.wake(ctx);
        self.stats.wake(ctx);
        let view = view(self.applied.as_ref(), &self.control, ctx);
        self.coordinator.wake(ctx, view);
    }

    fn next_wake(&self) -> Option<Instant> {
        let wakes = [
            self.control.next_wake(),
            self.shards.next_wake(),
            self.serving.next_wake(),
            self.coordinator.next_wake(),
            self.stats.next_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Carries news between the parts until there are none.
    fn settle(&mut self, ctx: &mut Ctx<'_>) {
        let rounds = (0..ROUNDS_MAX).take_while(|_| self.carry_news(ctx)).count() as u32;
        assert!(rounds < ROUNDS_MAX, "what the parts of a node say to each other comes to an end");
    }

    fn carry_news(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let losses = self.tell_losses(ctx);
        let control = self.control.take_news();
        let shards = self.shards.take_news();
        let petitions = self.coordinator.take_petitions();
        let local = ctx.links.take_local();
        let idle = control.is_empty() && shards.is_empty() && petitions.is_empty() && local.is_empty();
        for news in control {
            self.control_news(ctx, news);
        }
        for news in shards {
            self.shard_news(ctx, news);
        }
        for (token, call) in petitions {
            self.control.administer(ctx, token, call);
        }
        for message in local {
            self.transported(ctx, ctx.me, message);
        }
        losses || !idle
    }

    fn control_news(&mut self, ctx: &mut Ctx<'_>, news: ControlNews) {
        match news {
            ControlNews::State(state) => self.apply(ctx, state),
            ControlNews::Settings(settings) => self.apply_settings(ctx, &settings),
            ControlNews::Answer { token, result } => {
                let view = view(self.applied.as_ref(), &self.control, ctx);
                self.coordinator.granted(ctx, view, token, result);
            }
            // Writes are refused from now on, since the session is not certainly alive; copies stay as they
            // are until a state says otherwise.
            ControlNews::SessionLost => {}
        }
    }

    fn shard_news(&mut self, ctx: &mut Ctx<'_>, news: ShardNews) {
        match news {
            ShardNews::Report(report) => self.control.report(ctx, report),
            ShardNews::Write { token, result } => self.serving.write_ended(ctx, token, result),
            ShardNews::Refresh { token, result } => self.serving.refresh_ended(ctx, token, result),
            ShardNews::Get { token, result } => {
                let view = view(self.applied.as_ref(), &self.control, ctx);
                self.serving.get_ended(ctx, view, token, result);
            }
        }
    }

    fn apply_settings(&mut self, ctx: &mut Ctx<'_>, settings: &Arc<SettingsDocument>) {
        let (version, digest) = (settings.version, settings.digest());
        ctx.out.note(EventKind::SettingsApplied { version, digest });
        self.shards.apply_settings(settings);
        self.stats.settings_applied(ctx, settings);
    }

    /// Copies first, so that they know whose loss matters no more; then what waited for a newer state.
    fn apply(&mut self, ctx: &mut Ctx<'_>, state: Arc<ClusterState>) {
        let former = self.applied.replace(state.clone());
        assert!(
            former.as_ref().is_none_or(|former| state.is_newer_than(former)),
            "a cluster state is applied only forward"
        );
        ctx.out.note(EventKind::StateApplied { epoch: state.epoch, version: state.version });
        self.shards.apply(ctx, &state);
        for peer in former.iter().flat_map(|former| departed(former, &state)) {
            if peer != ctx.me {
                ctx.links.drop_peer(peer, ctx.out);
            }
        }
        self.tell_losses(ctx);
        let view = view(Some(&state), &self.control, ctx);
        self.serving.state_applied(ctx, view, &mut self.shards);
        self.coordinator.state_applied(ctx, view);
        self.control.state_applied(ctx, &state);
        self.stats.state_applied(ctx, &state);
    }

    fn tell_losses(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let losses = ctx.links.take_lost();
        let any = !losses.is_empty();
        for lost in losses {
            self.tell_loss(ctx, lost);
        }
        any
    }

    fn tell_loss(&mut self, ctx: &mut Ctx<'_>, lost: Lost) {
        self.control.peer_lost(ctx, lost.peer);
        self.shards.peer_lost(ctx, lost.peer);
        self.serving.peer_lost(lost.peer);
        let view = view(self.applied.as_ref(), &self.control, ctx);
        self.coordinator.peer_lost(ctx, view, lost);
    }
}

fn view<'a>(state: Option<&'a Arc<ClusterState>>, control: &Control, ctx: &Ctx<'_>) -> View<'a> {
    let connected = control.is_certainly_alive(ctx.now.mono);
    let known_as = state.and_then(|state| state.nodes.get(&ctx.me)).map(|node| node.session);
    let own = known_as.filter(|session| control.session() == Some(*session));
    let leased = connected && own.is_some_and(|session| control.is_proven(session, ctx.now.mono));
    View { state, connected, leased }
}

/// Nodes that left between two states, or came back as another life: connections to their former life are
/// dead, even if they do not show it (Elasticsearch's `NodeConnectionsService` disconnects from them).
fn departed(former: &ClusterState, state: &ClusterState) -> Vec<HostId> {
    let session = |host| state.nodes.get(host).map(|node| node.session);
    let gone = former.nodes.iter().filter(|(host, node)| session(host) != Some(node.session));
    gone.map(|(host, _)| *host).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        core::Effect,
        name::SessionId,
        search::{
            api::{ApiCall, ApiReply, ApiRequest},
            fixture::state,
        },
    };

    const NOW: Now = Now { mono: Instant(0), wall_ms: 0 };
    const PEER: HostId = HostId::search(2);

    fn node() -> Node {
        let second = Duration::from_secs(1);
        let search = SearchConfig {
            session_timeout: second,
            refresh_interval: second,
            delayed_allocation: second,
            request_timeout: second,
            flush_operations: 10,
            read_policy: Default::default(),
            write_threads: 1,
        };
        let config = NodeConfig {
            me: HostId::search(1),
            zone: "a".to_owned(),
            attributes: Default::default(),
            allocator: Default::default(),
            servers: vec![HostId::zookeeper(1)],
            search,
            defects: Defects::default(),
            disk_size: DiskSize::Unknown,
        };
        Node::boot(config, Entropy::new(1), &Files::new())
    }

    fn step(node: &mut Node, input: Input<Message>) -> Vec<Effect<Message>> {
        let mut out = Output::new(10);
        node.step(NOW, input, &mut out);
        out.drain().collect()
    }

    #[test]
    fn node_starts_by_dialling_zookeeper() {
        let effects = step(&mut node(), Input::Start);
        assert!(
            matches!(effects.as_slice(), [Effect::Dial { to, .. }] if to.host == HostId::zookeeper(1)),
            "{effects:?}"
        );
    }

    #[test]
    fn answer_goes_back_on_the_connection_of_the_request() {
        let mut node = node();
        let [first, second] = [ConnId(1), ConnId(3)];
        for conn in [first, second] {
            let accepted = Input::Accepted { conn, from: HostId::client(1), port: Port::Api };
            assert_eq!(step(&mut node, accepted), []);
        }
        let message = Message::Request(ApiRequest { id: 9, call: ApiCall::Health(Default::default()) });
        let effects = step(&mut node, Input::Received { conn: second, message });
        let [Effect::Send { conn, message: Message::Reply(ApiReply { id: 9, result }) }] = effects.as_slice()
        else {
            panic!("{effects:?}")
        };
        assert_eq!((*conn, &*result.clone().unwrap_err().kind), (second, "master_not_discovered_exception"));
    }

    #[test]
    fn ping_is_answered_unless_its_connection_was_given_up() {
        let mut node = node();
        let ping = |conn| Input::Received { conn, message: Transport::Ping.into() };
        assert_eq!(step(&mut node, ping(ConnId(1))), [], "nobody is known to be there");
        let accepted = Input::Accepted { conn: ConnId(1), from: PEER, port: Port::Transport };
        step(&mut node, accepted);
        let effects = step(&mut node, ping(ConnId(1)));
        assert!(
            matches!(effects.as_slice(), [Effect::Dial { to, .. }, Effect::Send { message, .. }]
                if to.host == PEER && *message == Transport::Pong.into()),
            "{effects:?}"
        );
    }

    #[test]
    fn connection_to_a_port_that_a_node_does_not_have_is_closed() {
        let accepted = Input::Accepted { conn: ConnId(1), from: PEER, port: Port::ZkQuorum };
        assert_eq!(step(&mut node(), accepted), [Effect::Close { conn: ConnId(1) }]);
    }

    #[test]
    fn nodes_that_left_or_returned_have_departed() {
        let former = state(1, Vec::new());
        let mut new = state(2, Vec::new());
        new.nodes.remove(&HostId::search(1));
        new.nodes.get_mut(&HostId::search(3)).unwrap().session = SessionId(7);
        assert_eq!(departed(&former, &new), [HostId::search(1), HostId::search(3)]);
        assert_eq!(departed(&former, &former), []);
    }
}

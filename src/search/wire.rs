//! Wire — decides what search nodes say to each other, to ZooKeeper and to clients, typed. It never decides
//! when.

use crate::{
    event::Word,
    search::{
        api::{ApiReply, ApiRequest},
        control::ControlMessage,
        coordination::CoordinationMessage,
        shards::ShardMessage,
    },
    zookeeper::wire::{ClientFrame, ServerFrame},
};

/// A message on any connection of a search node.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// To a ZooKeeper server.
    ToZooKeeper(ClientFrame),
    /// From a ZooKeeper server.
    FromZooKeeper(ServerFrame),
    /// Between nodes.
    Transport(Transport),
    /// From a client.
    Request(ApiRequest),
    /// To a client.
    Reply(ApiReply),
}

/// A message between nodes; each part of a node speaks with its like.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    /// Replication, resync, recovery: `shards` to `shards`.
    Shard(ShardMessage),
    /// Reports to the controller and its answers: `control` to `control`.
    Control(ControlMessage),
    /// Routed client requests and their answers, and scatter and gather: `coordination` to `coordination`.
    Coordination(CoordinationMessage),
    /// Say something: you have been silent.
    Ping,
    /// Something.
    Pong,
}

impl Message {
    /// About how many bytes it carries, where that is much.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Transport(Transport::Shard(message)) => message.bytes(),
            Self::Request(_) | Self::Reply(_) => 512,
            _ => 64,
        }
    }

    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::ToZooKeeper(frame) => frame.label(),
            Self::FromZooKeeper(frame) => frame.label(),
            Self::Transport(Transport::Shard(message)) => message.label(),
            Self::Transport(Transport::Control(message)) => message.label(),
            Self::Transport(Transport::Coordination(message)) => message.label(),
            Self::Transport(Transport::Ping) => "transport.ping".into(),
            Self::Transport(Transport::Pong) => "transport.pong".into(),
            Self::Request(_) => "api.request".into(),
            Self::Reply(_) => "api.reply".into(),
        }
    }
}

impl From<ClientFrame> for Message {
    fn from(frame: ClientFrame) -> Self {
        Self::ToZooKeeper(frame)
    }
}

impl From<Transport> for Message {
    fn from(message: Transport) -> Self {
        Self::Transport(message)
    }
}

//! Wire — decides how messages of different cores travel on one network. It never reads more of a message
//! than whom it is for.

use crate::{
    core::Core,
    event::Word,
    search::{self, node::Node},
    workload::{
        administrator::{Administrator, Order},
        operator::Task,
        zookeeper::{Message, Worker},
    },
    zookeeper::{
        self,
        client::app::{App, Process},
        server::Server,
    },
};

/// A message on the simulated network.
#[derive(Debug, Clone)]
pub enum Wire {
    /// From a ZooKeeper server.
    ZooKeeper(zookeeper::peer::Message),
    /// From a search node or a client of one.
    Search(search::wire::Message),
    /// To the administrator, from whoever plans the run.
    Order(Order),
    /// To the operator, from whoever plans the run.
    Task(Task),
}

impl Wire {
    /// Whether it answers what a client has asked.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::ZooKeeper(zookeeper::peer::Message::ToClient(frame)) => frame.answers(),
            Self::Search(message) => matches!(message, search::wire::Message::Reply(_)),
            _ => false,
        }
    }

    /// About how many bytes it takes on the wire: what it carries, where that is much.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::ZooKeeper(message) => message.bytes(),
            Self::Search(message) => message.bytes(),
            Self::Order(_) | Self::Task(_) => 0,
        }
    }

    /// A word for traces.
    pub fn label(&self) -> Word {
        match self {
            Self::ZooKeeper(message) => message.label(),
            Self::Search(message) => message.label(),
            Self::Order(_) => "order".into(),
            Self::Task(_) => "task".into(),
        }
    }
}

/// A core that can be put on the network.
pub trait Speaks: Core {
    /// What it makes of a message; none if it cannot be meant for it (a port nobody serves).
    fn hear(wire: Wire) -> Option<Self::Message>;

    /// What it says, on the network.
    fn say(message: Self::Message) -> Wire;
}

impl Speaks for Server {
    fn hear(wire: Wire) -> Option<zookeeper::peer::Message> {
        match wire {
            Wire::ZooKeeper(message) => Some(message),
            Wire::Search(search::wire::Message::ToZooKeeper(frame)) => {
                Some(zookeeper::peer::Message::ToServer(frame))
            }
            Wire::Search(_) | Wire::Order(_) | Wire::Task(_) => None,
        }
    }

    fn say(message: zookeeper::peer::Message) -> Wire {
        Wire::ZooKeeper(message)
    }
}

impl Speaks for Node {
    fn hear(wire: Wire) -> Option<search::wire::Message> {
        match wire {
            Wire::Search(message) => Some(message),
            Wire::ZooKeeper(zookeeper::peer::Message::ToClient(frame)) => {
                Some(search::wire::Message::FromZooKeeper(frame))
            }
            Wire::ZooKeeper(_) | Wire::Order(_) | Wire::Task(_) => None,
        }
    }

    fn say(message: search::wire::Message) -> Wire {
        Wire::Search(message)
    }
}

macro_rules! speaks_to_zookeeper {
    ($($core:ty),*) => {$(
        impl Speaks for $core {
            fn hear(wire: Wire) -> Option<Message> {
                match wire {
                    Wire::ZooKeeper(zookeeper::peer::Message::ToClient(frame)) => Some(Message::FromServer(frame)),
                    Wire::Order(order) => Some(Message::Order(order)),
                    Wire::ZooKeeper(_) | Wire::Search(_) | Wire::Task(_) => None,
                }
            }

            fn say(message: Message) -> Wire {
                match message {
                    Message::ToServer(frame) => Wire::ZooKeeper(zookeeper::peer::Message::ToServer(frame)),
                    Message::FromServer(frame) => Wire::ZooKeeper(zookeeper::peer::Message::ToClient(frame)),
                    Message::Order(order) => Wire::Order(order),
                }
            }
        }
    )*};
}

speaks_to_zookeeper!(Worker, Administrator);

impl<A: App> Speaks for Process<A> {
    fn hear(wire: Wire) -> Option<zookeeper::peer::Message> {
        match wire {
            Wire::ZooKeeper(message) => Some(message),
            Wire::Search(_) | Wire::Order(_) | Wire::Task(_) => None,
        }
    }

    fn say(message: zookeeper::peer::Message) -> Wire {
        Wire::ZooKeeper(message)
    }
}

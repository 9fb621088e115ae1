//! Orders — decides which reroute commands a step comes to, once its selectors mean nodes. It never sends one.

use crate::{
    name::{HostId, ShardId},
    scenario::steps::{Command, Reroute},
    search::api::admin::Command as Order,
};

/// The commands of a step, with the nodes that all their selectors mean, in order.
///
/// # Errors
///
/// If a selector does not mean one node now.
pub(super) fn orders(reroute: &Reroute, mut nodes: &[HostId]) -> Result<Vec<Order>, String> {
    let order = |command: &Command| {
        let count = command.selectors().1.len().min(nodes.len());
        let (own, rest) = nodes.split_at(count);
        nodes = rest;
        order(command, own)
    };
    reroute.commands.iter().map(order).collect()
}

fn order(command: &Command, nodes: &[HostId]) -> Result<Order, String> {
    let (key, selectors) = command.selectors();
    let (&[node], &[.., last]) = (&nodes[..nodes.len().min(1)], nodes) else {
        return Err(format!("{key}: its selectors mean nobody now"));
    };
    if nodes.len() != selectors.len() {
        return Err(format!("{key}: one of its selectors means nobody now"));
    }
    let ShardId { index, number: shard } = command.shard();
    Ok(match command {
        Command::Move { .. } => Order::Move { index, shard, from_node: node, to_node: last },
        Command::Cancel { allow_primary, .. } => {
            Order::Cancel { index, shard, node, allow_primary: *allow_primary }
        }
        Command::AllocateReplica { .. } => Order::AllocateReplica { index, shard, node },
        Command::AllocateStalePrimary { accept_data_loss, .. } => {
            Order::AllocateStalePrimary { index, shard, node, accept_data_loss: *accept_data_loss }
        }
        Command::AllocateEmptyPrimary { accept_data_loss, .. } => {
            Order::AllocateEmptyPrimary { index, shard, node, accept_data_loss: *accept_data_loss }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::Selector;

    #[test]
    fn selectors_become_nodes_in_order() {
        let [a, b, c] = [1, 2, 3].map(HostId::search);
        let from_node = Selector::Controller;
        let to_node = Selector::Host(b);
        let moving = Command::Move { index: "a".into(), shard: 1, from_node, to_node };
        let cancel =
            Command::Cancel { index: "a".into(), shard: 0, node: Selector::Host(c), allow_primary: true };
        let reroute = Reroute { commands: vec![moving, cancel], ..Reroute::default() };
        let expected = vec![
            Order::Move { index: "a".into(), shard: 1, from_node: a, to_node: b },
            Order::Cancel { index: "a".into(), shard: 0, node: c, allow_primary: true },
        ];
        assert_eq!(orders(&reroute, &[a, b, c]), Ok(expected));
        assert!(orders(&reroute, &[a, b]).is_err(), "the last one means nobody now");
        assert!(orders(&reroute, &[a]).is_err());
    }
}

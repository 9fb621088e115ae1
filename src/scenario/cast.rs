//! Cast — decides which hosts a plan has, and which part each plays. It never starts one.

use crate::{
    name::HostId,
    scenario::plan::{FaultAction, Plan},
};

/// The part of a client's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Creates indices and carries out steps, on `client-1`.
    Operator,
    /// Runs this workload on documents.
    Documents {
        /// Number of the workload, from 0.
        workload: usize,
    },
    /// Is one of the clients of ZooKeeper alone.
    ZooKeeper {
        /// Number of the table, from 0.
        table: usize,
    },
    /// Follows a recipe.
    Recipe {
        /// Number of the table, from 0.
        table: usize,
    },
    /// Ends sessions, changes the ensemble and writes garbage when a fault or a step says so; the last host, if
    /// there is such a one.
    Administrator,
}

impl Part {
    /// Whether it is played by a core, which can be inspected.
    pub fn is_core(self) -> bool {
        matches!(self, Self::ZooKeeper { .. } | Self::Recipe { .. } | Self::Administrator)
    }
}

impl Plan {
    /// Every ZooKeeper server: voters, observers and spares.
    pub fn servers(&self) -> impl Iterator<Item = HostId> {
        let members = self.zookeeper.servers.iter().chain(&self.zookeeper.observers);
        members.chain(&self.spares).copied()
    }

    /// Every host of a client, with its part: the operator, one for each workload, each client of
    /// ZooKeeper alone, each one that follows a recipe, the administrator.
    pub fn clients(&self) -> Vec<(HostId, Part)> {
        let documents = (0..self.workloads.len()).map(|workload| Part::Documents { workload });
        let tables = self.zookeeper_clients.iter().enumerate();
        let alone = tables.flat_map(|(table, clients)| {
            std::iter::repeat_n(Part::ZooKeeper { table }, usize::from(clients.count))
        });
        let recipes = self.recipe_clients.iter().enumerate();
        let members = recipes.flat_map(|(table, clients)| {
            std::iter::repeat_n(Part::Recipe { table }, usize::from(clients.count))
        });
        let administrator = self.has_administrator().then_some(Part::Administrator);
        let parts = std::iter::once(Part::Operator).chain(documents).chain(alone);
        let parts = parts.chain(members).chain(administrator);
        (1..=u16::MAX).map(HostId::client).zip(parts).collect()
    }

    /// The part of a client's host.
    ///
    /// # Panics
    ///
    /// If the plan has no such client.
    pub fn part(&self, host: HostId) -> Part {
        let parts = self.clients();
        let found = parts.into_iter().find(|(client, _)| *client == host);
        found.map(|(_, part)| part).expect("every client is planned")
    }

    /// The host of the administrator, if there is one.
    pub fn administrator(&self) -> Option<HostId> {
        let last = self.clients().pop();
        last.filter(|(_, part)| *part == Part::Administrator).map(|(host, _)| host)
    }

    fn has_administrator(&self) -> bool {
        let by_hand = |action: &FaultAction| {
            matches!(action, FaultAction::Expire { .. } | FaultAction::Reconfigure { .. })
        };
        self.faults.iter().any(|fault| by_hand(&fault.action))
            || self.steps.iter().any(|step| step.action.is_of_zookeeper())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{
        ensemble::ZooKeeperClients,
        format::{Fault, Scenario, Workload},
    };

    #[test]
    fn parts_follow_the_tables() {
        let clients = ZooKeeperClients { count: 2, ..Default::default() };
        let mut scenario = Scenario {
            workloads: vec![Workload::default()],
            zookeeper_clients: vec![clients],
            ..Default::default()
        };
        let parts = |scenario: &Scenario| -> Vec<Part> {
            scenario.plan(1).clients().into_iter().map(|(_, part)| part).collect()
        };
        let alone = Part::ZooKeeper { table: 0 };
        assert_eq!(parts(&scenario), [Part::Operator, Part::Documents { workload: 0 }, alone, alone]);
        let expire = Some("client-3".to_owned().try_into().unwrap());
        let at = Some(std::time::Duration::from_secs(1));
        scenario.faults = vec![Fault { at, expire, ..Default::default() }];
        assert_eq!(parts(&scenario).last(), Some(&Part::Administrator));
        assert_eq!(scenario.plan(1).administrator(), Some(HostId::client(5)));
    }
}

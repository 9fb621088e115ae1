//! Boot — decides how a core comes to life from a plan and what its disk holds. It never drives it.

use crate::{
    name::{HostId, SimTime},
    scenario::plan::AllocatorKind,
    search::{
        allocation::{AllocatorFactory, Balanced, DesiredBalance, LeastLoaded},
        node::{Node, NodeConfig},
        stats::DiskSize,
    },
    sim::world::World,
    workload::{
        administrator::Administrator,
        agenda::Agenda,
        recipes::{self, MemberPlan},
        zookeeper::{self, Worker, WorkerPlan},
    },
    zookeeper::{
        client::{
            ClientConfig,
            app::{App, Process},
        },
        server::Server,
    },
};

/// A ZooKeeper server, as its disk left it.
pub fn server(world: &World, host: HostId) -> Server {
    let plan = world.plan();
    let now = world.clock(host).now(world.now());
    let (config, defects) = (plan.zookeeper.clone(), plan.defects.clone());
    Server::boot(config, host, defects, world.entropy(host), &world.files(host), now)
}

/// A search node, as its disk left it.
///
/// # Panics
///
/// If the plan has no such node.
pub fn node(world: &World, host: HostId) -> Node {
    let plan = world.plan();
    let node = plan.nodes.iter().find(|node| node.host == host).expect("every node is planned");
    let config = NodeConfig {
        me: host,
        zone: node.zone.clone(),
        attributes: node.attributes.clone(),
        allocator: allocator(world),
        servers: plan.zookeeper.servers.clone(),
        search: plan.search.clone(),
        defects: plan.defects.clone(),
        disk_size: node.disk.map_or(DiskSize::Unknown, |_| DiskSize::Known),
    };
    Node::boot(config, world.entropy(host), &world.files(host))
}

/// What decides where copies go: the caller's own, else the plan's.
pub fn allocator(world: &World) -> AllocatorFactory {
    let planned = || match world.plan().allocator {
        AllocatorKind::Balanced => AllocatorFactory::new(Balanced::default),
        AllocatorKind::LeastLoaded => AllocatorFactory::new(LeastLoaded::default),
        AllocatorKind::DesiredBalance => AllocatorFactory::new(DesiredBalance::default),
    };
    world.extensions().allocator.clone().unwrap_or_else(planned)
}

/// A client of ZooKeeper alone, of this table.
pub fn zookeeper_client(world: &World, host: HostId, table: usize) -> Worker {
    let plan = world.plan();
    let clock = world.clock(host);
    let ends_at = clock.now(SimTime::from(plan.duration)).mono;
    let operations = zookeeper::arrivals::operations(plan, world.dice(), host, table);
    let table = plan.zookeeper_clients[table].clone();
    let worker = WorkerPlan {
        me: host,
        life: world.incarnation(host),
        servers: plan.zookeeper.servers.iter().chain(&plan.zookeeper.observers).copied().collect(),
        starts_at: clock.start() + table.starts_at,
        defects: plan.defects.clone(),
        dice: world.dice(),
        table,
    };
    Worker::boot(worker, Agenda::new(clock.start(), ends_at, operations))
}

/// A client that follows the recipe of this table.
pub fn recipe_client(world: &World, host: HostId, table: usize) -> Process<Box<dyn App + Send>> {
    let plan = world.plan();
    let clock = world.clock(host);
    let operations = recipes::arrivals::operations(plan, world.dice(), host, table);
    let table = &plan.recipe_clients[table];
    let servers = plan.zookeeper.servers.iter().chain(&plan.zookeeper.observers).copied().collect();
    let config = ClientConfig::new(servers, table.session_timeout);
    let ends_at = clock.now(SimTime::from(plan.duration)).mono;
    let agenda = Agenda::new(clock.start(), ends_at, operations);
    let life = world.incarnation(host);
    let member = recipes::boot(table, MemberPlan { me: host, life, agenda });
    Process::new(member, config, world.entropy(host), clock.start() + table.starts_at)
}

/// The administrator.
pub fn administrator(world: &World, host: HostId) -> Administrator {
    Administrator::boot(world.plan().zookeeper.clone(), world.entropy(host))
}

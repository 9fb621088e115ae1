//! Arrivals — decides what a client of ZooKeeper alone is to ask, and when: drawn from its table, or as the plan lists
//! it. It never knows how the run goes on.

use std::{sync::Arc, time::Duration};

use super::choice;
use crate::{
    name::HostId,
    scenario::{
        dice::{ZOOKEEPER_ABANDON, ZOOKEEPER_ARRIVAL, ZOOKEEPER_OPERATION},
        ensemble::ZooKeeperClients,
        plan::Plan,
        zookeeper_operations::{ZooKeeperAsk, ZooKeeperOperation},
    },
    sim::dice::Dice,
    workload::agenda::{FIRST_LIFE, Merge, Source, gap},
};

/// The operations of one client in order of time: those listed and those drawn.
pub fn operations(
    plan: &Plan,
    dice: Dice,
    client: HostId,
    table: usize,
) -> impl Iterator<Item = ZooKeeperOperation> + Send + use<> {
    let table = Arc::new(plan.zookeeper_clients[table].clone());
    let stream = Stream { dice, client, table };
    Merge::of_zookeeper(plan, client, stream.sources())
}

/// What one client is drawn to do. Its operations have even numbers, the storms odd ones.
#[derive(Clone)]
struct Stream {
    dice: Dice,
    client: HostId,
    table: Arc<ZooKeeperClients>,
}

impl Stream {
    fn sources(self) -> Vec<Source<ZooKeeperOperation>> {
        let at = self.table.starts_at;
        let storms = self.table.reopens_every.map(|every| {
            let storms = Storms { stream: self.clone(), every, at, nth: 0 };
            Box::new(storms) as Source<ZooKeeperOperation>
        });
        let arrivals = gap(self.table.operations_per_second).map(|mean| {
            let arrivals = Arrivals { stream: self.clone(), mean, at, arrivals: 0, nth: self.table.burst };
            Box::new(arrivals) as Source<ZooKeeperOperation>
        });
        storms.into_iter().chain(arrivals).collect()
    }
}

/// A Poisson process of bursts; none waits for another.
struct Arrivals {
    stream: Stream,
    mean: Duration,
    at: Duration,
    /// Bursts begun, and operations drawn of the last one.
    arrivals: u64,
    nth: u32,
}

impl Iterator for Arrivals {
    type Item = ZooKeeperOperation;

    fn next(&mut self) -> Option<ZooKeeperOperation> {
        let Stream { dice, client, table } = &self.stream;
        if self.nth >= table.burst {
            (self.arrivals, self.nth) = (self.arrivals + 1, 0);
            let key = (*client, FIRST_LIFE, self.arrivals);
            self.at += dice.at(ZOOKEEPER_ARRIVAL, key).exponential(self.mean);
        }
        let earlier = (self.arrivals - 1).checked_mul(u64::from(table.burst))? + u64::from(self.nth);
        let number = u32::try_from(earlier.checked_mul(2)?).ok()?;
        let die = dice.at(ZOOKEEPER_OPERATION, (*client, FIRST_LIFE, self.arrivals + 1, self.nth));
        self.nth += 1;
        Some(choice::draw(table, *client, number, self.at, die))
    }
}

/// Sessions that are left, each time the span has passed: closed in order, or left to their expiry.
struct Storms {
    stream: Stream,
    every: Duration,
    at: Duration,
    nth: u64,
}

impl Iterator for Storms {
    type Item = ZooKeeperOperation;

    fn next(&mut self) -> Option<ZooKeeperOperation> {
        let Stream { dice, client, table } = &self.stream;
        self.at += self.every;
        let mut die = dice.at(ZOOKEEPER_ABANDON, (*client, FIRST_LIFE, self.nth));
        let is_left = die.chance(table.abandon_share);
        let ask = if is_left { ZooKeeperAsk::Abandon } else { ZooKeeperAsk::Close };
        let number = u32::try_from(self.nth.checked_mul(2)? + 1).ok()?;
        self.nth += 1;
        Some(ZooKeeperOperation::new(*client, number, self.at, ask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::format::Scenario;

    fn drawn(table: ZooKeeperClients) -> Vec<ZooKeeperOperation> {
        let duration = Duration::from_secs(20);
        let zookeeper_clients = vec![table];
        let scenario = Scenario { title: "t".into(), duration, zookeeper_clients, ..Scenario::default() };
        operations(&scenario.plan(7), Dice::new(7), HostId::client(2), 0).collect()
    }

    #[test]
    fn bursts_keep_their_rate_and_their_order_and_no_number_comes_twice() {
        let reopens_every = Some(Duration::from_secs(3));
        let all = drawn(ZooKeeperClients {
            operations_per_second: 10.0,
            burst: 3,
            reopens_every,
            ..Default::default()
        });
        assert!((450..750).contains(&all.len()), "{}", all.len());
        assert!(all.is_sorted_by_key(|one| one.at));
        let numbers: std::collections::BTreeSet<u32> = all.iter().map(|one| one.number).collect();
        assert_eq!(numbers.len(), all.len());
    }

    #[test]
    fn storms_draw_each_time_anew_whether_the_session_is_closed() {
        let reopens_every = Some(Duration::from_secs(1));
        let table = ZooKeeperClients { operations_per_second: 0.0, reopens_every, ..Default::default() };
        let asked = |share| {
            drawn(ZooKeeperClients { abandon_share: share, ..table.clone() })
                .iter()
                .filter(|one| one.ask == ZooKeeperAsk::Abandon)
                .count()
        };
        assert_eq!((asked(0.0), asked(1.0)), (0, 19));
        assert!((4..16).contains(&asked(0.5)), "{}", asked(0.5));
    }
}

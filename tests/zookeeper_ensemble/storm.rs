//! Storm — random crashes, cuts and delays under load never break the one history.

use shardarium::core::Entropy;

use crate::*;

/// Rounds of trouble in one storm.
const ROUNDS: u32 = 14;

struct Storm {
    world: World,
    voters: u16,
    dice: Entropy,
    client: Client,
    acknowledged: BTreeSet<String>,
}

impl Storm {
    fn new(voters: u16, seed: u64, defects: Defects) -> Self {
        let mut dice = Entropy::new(seed);
        let mut world = World::with_snapshots(voters, 4 + (dice.draw() % 8) as u32);
        world.jitter = Some(Entropy::new(!seed));
        world.sync = 200_000 + dice.draw() % 8_000_000;
        world.defects = defects;
        world.start_all();
        Self { world, voters, dice, client: Client::default(), acknowledged: BTreeSet::new() }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.dice.draw() % limit
    }

    fn any_server(&mut self) -> HostId {
        zk(1 + self.below(self.voters.into()) as u16)
    }

    fn rage(&mut self) {
        for round in 0..ROUNDS {
            self.arm_crash();
            self.cut_links();
            for attempt in 0..3 {
                self.write(&format!("/{round}-{attempt}"));
            }
            let pause = self.below(1500);
            self.world.run_for(pause);
            if self.below(2) == 0 {
                self.repair();
            }
        }
        self.repair();
    }

    fn arm_crash(&mut self) {
        let host = self.any_server();
        let unsynced = [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept][self.below(3) as usize];
        if self.world.runs(host) {
            self.world.cut_point = Some(CutPoint { host, effects: 1 + self.below(150), unsynced });
        }
    }

    fn cut_links(&mut self) {
        let (one, other) = (self.any_server(), self.any_server());
        match self.below(4) {
            0 => self.world.cut_off(one),
            1 => self.world.cut_between(one, other),
            _ => {}
        }
    }

    /// A few writes through any server, if it serves; the last of them unanswered.
    fn write(&mut self, prefix: &str) {
        let server = self.any_server();
        let as_of = Client { timeout_ms: 4000, ..self.client };
        let Some(client) = self.world.connect_as(server, &as_of) else {
            let pause = 30 + self.below(300);
            return self.world.run_for(pause);
        };
        self.client = client;
        for number in 0..self.below(8) {
            let path = format!("{prefix}-{number}");
            match self.world.call(&mut self.client, create(&path)) {
                Some(Ok(_)) => _ = self.acknowledged.insert(path),
                Some(Err(_)) => {}
                None => return,
            }
        }
        self.world.ask(&mut self.client, create_ephemeral(&format!("{prefix}-unanswered")));
    }

    fn repair(&mut self) {
        self.world.cut_point = None;
        self.world.heal();
        for server in (1..=self.voters).map(zk) {
            if !self.world.runs(server) {
                self.world.start(server);
            }
        }
    }

    /// A server that looked for long waits for long between its notifications: up to 60 s.
    fn judge(&mut self) {
        self.world.run_for(70_000);
        self.world.assert_agreement();
        for server in (1..=self.voters).map(zk) {
            let mut client = self.world.connect(server);
            for path in &self.acknowledged {
                assert!(is_there(&self.world.call(&mut client, exists(path))), "{path} is lost");
            }
        }
    }
}

/// The events of a storm that was survived; panics otherwise.
fn weather(seed: u64, defects: Defects) -> Vec<EventKind> {
    let voters = [3, 3, 5, 1][seed as usize % 4];
    let mut storm = Storm::new(voters, seed, defects);
    storm.rage();
    storm.judge();
    storm.world.events.into_iter().map(|(_, _, event)| event).collect()
}

#[test]
fn storms_keep_one_history() {
    let mut modes = BTreeSet::new();
    for seed in 0..60 {
        eprintln!("seed {seed}");
        for event in weather(seed, Defects::default()) {
            if let EventKind::FollowerSynced { mode, .. } = event {
                modes.insert(format!("{mode:?}"));
            }
        }
    }
    assert_eq!(Vec::from_iter(modes), ["Diff", "Snap", "Trunc"], "every way to synchronise was taken");
}

#[test]
fn storms_find_an_acknowledgement_before_the_sync() {
    let defects = Defects([Defect::ZabAckBeforeSync].into());
    let caught = |seed| std::panic::catch_unwind(|| weather(seed, defects.clone())).is_err();
    assert!((0..20).any(caught));
}

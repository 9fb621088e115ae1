//! Tests of loss — decides whether the cluster comes right whichever frame or session is lost. It never
//! chooses: it goes through all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Whichever frame is lost with its connection, in the end the cluster is green, each write is counted once,
/// and nobody has asked for an index in vain.
#[test]
fn connection_lost_at_any_frame_is_made_up_for() {
    let mut frame = 1;
    loop {
        let mut bench = Bench::new();
        bench.lose_frame = Some(frame);
        for host in ALL {
            bench.start(host, node(host, &[]));
        }
        bench.run(seconds(3));
        wish(&mut bench, B, 1, "articles");
        bench.run(seconds(6));
        assert_green(&mut bench, &ALL);
        assert_forward(&bench);
        assert_eq!(bench.core(B).answers(), [(1, DONE)], "frame {frame}");
        assert_eq!(bench.fake.children(ELECTION).len(), 3, "frame {frame}");
        assert_eq!(bench.fake.children(discovery::NODES).len(), 3, "frame {frame}");
        if bench.frames < frame {
            break;
        }
        frame += 1;
    }
    assert!(frame > 100, "the loop went through a whole life");
}

/// The same with a whole session lost at that point.
#[test]
fn session_lost_at_any_time_is_made_up_for() {
    for after in (0..60).map(|step| Duration::from_millis(step * 2)) {
        for host in ALL {
            let mut bench = Bench::new();
            for host in ALL {
                bench.start(host, node(host, &[]));
            }
            bench.run(after);
            if let Some(session) = bench.core(host).control.client.session() {
                bench.fake.end(session);
            }
            wish(&mut bench, B, 1, "articles");
            bench.run(seconds(12));
            assert_green(&mut bench, &ALL);
            assert_forward(&bench);
        }
    }
}

#[test]
fn equal_runs_have_equal_events() {
    let run = || {
        let mut bench = green(&[]);
        bench.kill(A);
        bench.run(seconds(20));
        bench.events
    };
    assert_eq!(run(), run());
}

#[derive(Debug, Clone)]
enum Fault {
    Kill,
    Restart,
    Pause,
    Resume,
    Silence,
    Hear,
    Break,
    Expire,
    Wish,
}

fn fault() -> impl Strategy<Value = (Fault, HostId, u64)> {
    use Fault::{Break, Expire, Hear, Kill, Pause, Restart, Resume, Silence, Wish};
    let faults = vec![Kill, Restart, Pause, Resume, Silence, Hear, Break, Expire, Wish];
    // Short spans fall into protocols, long ones beyond timeouts.
    let span = prop_oneof![0u64..12, 0u64..1_500, 0u64..7_000];
    (proptest::sample::select(faults), proptest::sample::select(ALL.to_vec()), span)
}

/// What a test does to a cluster, and what is left to undo.
struct Chaos {
    bench: Bench<Node>,
    down: BTreeSet<HostId>,
    wishes: u64,
}

impl Chaos {
    fn strike(&mut self, fault: &Fault, host: HostId) {
        let is_up = !self.down.contains(&host);
        match fault {
            Fault::Kill if is_up => {
                self.bench.kill(host);
                self.down.insert(host);
            }
            Fault::Restart => {
                self.bench.start(host, node(host, &[]));
                self.down.remove(&host);
            }
            Fault::Pause if is_up => self.bench.pause(host),
            Fault::Resume if is_up => self.bench.resume(host),
            Fault::Silence => self.bench.silence(host),
            Fault::Hear => self.bench.hear(host),
            Fault::Break => self.bench.break_zookeeper(host),
            Fault::Expire if is_up => {
                let session = self.bench.core(host).control.client.session();
                session.into_iter().for_each(|session| self.bench.fake.end(session));
            }
            Fault::Wish if is_up => {
                self.wishes += 1;
                let index = ["a", "b", "c"][self.wishes as usize % 3];
                wish(&mut self.bench, host, self.wishes, index);
            }
            Fault::Kill | Fault::Pause | Fault::Resume | Fault::Expire | Fault::Wish => {}
        }
    }

    fn heal(&mut self) {
        for host in ALL {
            self.bench.hear(host);
            if self.down.remove(&host) {
                self.bench.start(host, node(host, &[]));
            }
            self.bench.resume(host);
        }
    }
}

/// Along versions: each is published once, and epochs never go back.
fn assert_one_line(bench: &Bench<Node>) {
    let mut states = published(bench);
    states.sort_by_key(|(_, version)| *version);
    let is_line = states.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1);
    assert!(is_line, "{states:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever happens to nodes, sessions and connections: the published states are one line of history, and
    /// once all is quiet the cluster is green, with every registration and ticket there once.
    #[test]
    fn any_faults_are_made_up_for(faults in prop::collection::vec(fault(), 0..25)) {
        let mut chaos = Chaos { bench: Bench::new(), down: BTreeSet::new(), wishes: 0 };
        for host in ALL {
            chaos.bench.start(host, node(host, &[]));
        }
        for (fault, host, span) in &faults {
            chaos.strike(fault, *host);
            chaos.bench.run(Duration::from_millis(*span));
        }
        chaos.heal();
        // A session's end, a second one after a late reconnect, and the delay of an allocation.
        chaos.bench.run(seconds(30));
        assert_one_line(&chaos.bench);
        assert_green(&mut chaos.bench, &ALL);
        prop_assert_eq!(chaos.bench.fake.children(ELECTION).len(), 3);
        prop_assert_eq!(chaos.bench.fake.children(discovery::NODES).len(), 3);
        for host in ALL {
            prop_assert!(is_alive(&mut chaos.bench, host));
        }
    }
}

//! The network's fault contract, promise by promise.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use madsim::{
    runtime::Runtime,
    time::{TimeHandle, sleep, timeout},
};
use shardarium::{
    core::{Address, CloseReason, ConnId, Port},
    name::HostId,
    scenario::plan::{CutMode, Delay, InFlight},
    search::{
        api::{ApiCall, ApiError, ApiReply, ApiRequest},
        wire::Message,
    },
    sim::{
        dice::Dice,
        net::{Arrival, Cut, Net, Slow},
        wire::Wire,
    },
};

const A: HostId = HostId::search(1);
const B: HostId = HostId::search(2);
const MS: Duration = Duration::from_millis(1);

/// Two hosts on a network, driven by hand.
#[derive(Clone)]
struct Pair(Arc<Mutex<Net>>);

impl Pair {
    fn new() -> Self {
        let mut net = Net::new(TimeHandle::current(), Dice::new(5));
        for host in [A, B] {
            net.add_host(host, |_, _| Delay::exponential(MS, 3 * MS));
            net.process_started(host);
        }
        Self(Arc::new(Mutex::new(net)))
    }

    fn net(&self) -> std::sync::MutexGuard<'_, Net> {
        self.0.lock().unwrap()
    }

    async fn next(&self, host: HostId) -> Arrival {
        poll_fn(|cx| self.net().poll(host, None, cx)).await.expect("no wake was asked for")
    }

    async fn silent(&self, host: HostId, span: Duration) -> bool {
        timeout(span, self.next(host)).await.is_err()
    }

    /// A connection from A to B: the two ends.
    async fn connect(&self) -> (ConnId, ConnId) {
        let ours = ConnId(100);
        self.net().dial(A, ours, Address { host: B, port: Port::Transport });
        let Arrival::Accepted { conn, from: A, port: Port::Transport } = self.next(B).await else {
            panic!("B accepts")
        };
        let Arrival::Connected { conn: dialled } = self.next(A).await else { panic!("A connects") };
        assert_eq!(dialled, ours);
        (ours, conn)
    }

    fn say(&self, from: HostId, conn: ConnId, word: u64) {
        let request = ApiRequest { id: word, call: ApiCall::Health(Default::default()) };
        assert_eq!(self.net().send(from, conn, Wire::Search(Message::Request(request)), 0), None);
    }

    async fn hear(&self, host: HostId) -> u64 {
        match self.next(host).await {
            Arrival::Message { message: Wire::Search(Message::Request(request)), .. } => request.id,
            other => panic!("expected a message, got {other:?}"),
        }
    }

    async fn reason(&self, host: HostId) -> CloseReason {
        match self.next(host).await {
            Arrival::Closed { reason, .. } => reason,
            other => panic!("expected an end, got {other:?}"),
        }
    }

    fn cut(&self, from: HostId, to: HostId) {
        self.net().cut(from, to, Cut::new(0, CutMode::Stall));
    }
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Pair) -> F) {
    Runtime::new().block_on(async { test(Pair::new()).await });
}

#[test]
fn messages_of_a_connection_arrive_in_order() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        for word in 0..200 {
            pair.say(A, ours, word);
        }
        for word in 0..200 {
            assert_eq!(pair.hear(B).await, word);
        }
    });
}

#[test]
fn message_sent_during_the_dial_arrives_after_it() {
    run(|pair| async move {
        let ours = ConnId(2);
        pair.net().dial(A, ours, Address { host: B, port: Port::Transport });
        pair.say(A, ours, 7);
        assert!(matches!(pair.next(B).await, Arrival::Accepted { .. }));
        assert!(matches!(pair.next(A).await, Arrival::Connected { .. }));
        assert_eq!(pair.hear(B).await, 7);
    });
}

#[test]
fn stalling_cut_holds_what_is_on_the_wire_until_healed() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.say(A, ours, 1);
        pair.cut(A, B);
        pair.say(A, ours, 2);
        assert!(pair.silent(B, Duration::from_secs(5)).await);
        assert!(pair.net().heal(A, B, 0));
        assert_eq!((pair.hear(B).await, pair.hear(B).await), (1, 2));
    });
}

/// What waited goes out again later than what is on the wire just then; it is heard first all the same.
#[test]
fn message_on_the_wire_when_a_cut_is_healed_overtakes_none_that_waited() {
    for mode in [CutMode::Stall, CutMode::Hold] {
        run(|pair| async move {
            let (ours, _) = pair.connect().await;
            pair.net().cut(A, B, Cut::new(0, mode));
            (1..10).for_each(|word| pair.say(A, ours, word));
            assert!(pair.silent(B, Duration::from_secs(1)).await);
            (10..20).for_each(|word| pair.say(A, ours, word));
            assert!(pair.net().heal(A, B, 0));
            (20..30).for_each(|word| pair.say(A, ours, word));
            for word in 1..30 {
                assert_eq!(pair.hear(B).await, word);
            }
        });
    }
}

/// A process that is paused has not looked at what came meanwhile.
#[test]
fn message_that_a_paused_process_finds_after_a_cut_overtakes_none_that_waited() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.cut(A, B);
        pair.say(A, ours, 1);
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        pair.say(A, ours, 2);
        sleep(Duration::from_secs(1)).await;
        assert!(pair.net().heal(A, B, 0));
        assert_eq!((pair.hear(B).await, pair.hear(B).await), (1, 2));
    });
}

#[test]
fn one_way_cut_leaves_the_other_way_open() {
    run(|pair| async move {
        let (ours, theirs) = pair.connect().await;
        pair.cut(A, B);
        pair.say(A, ours, 1);
        pair.say(B, theirs, 2);
        assert_eq!(pair.hear(A).await, 2);
        assert!(pair.silent(B, Duration::from_secs(1)).await);
    });
}

#[test]
fn overlapping_cuts_heal_only_when_both_are_undone() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.net().cut(A, B, Cut::new(0, CutMode::Stall));
        pair.net().cut(A, B, Cut::new(1, CutMode::Stall));
        pair.say(A, ours, 1);
        assert!(!pair.net().heal(A, B, 0));
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        assert!(pair.net().heal(A, B, 1));
        assert_eq!(pair.hear(B).await, 1);
    });
}

#[test]
fn resetting_cut_resets_both_ends_and_refuses_dials() {
    run(|pair| async move {
        pair.connect().await;
        pair.net().cut(A, B, Cut::new(0, CutMode::Reset));
        assert_eq!(pair.reason(A).await, CloseReason::Reset);
        assert_eq!(pair.reason(B).await, CloseReason::Reset);
        pair.net().dial(A, ConnId(4), Address { host: B, port: Port::Transport });
        assert_eq!(pair.reason(A).await, CloseReason::Refused);
    });
}

#[test]
fn held_messages_arrive_at_once_with_the_heal() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.net().cut(A, B, Cut::new(0, CutMode::Hold));
        (1..=3).for_each(|word| pair.say(A, ours, word));
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        assert!(pair.net().heal(A, B, 0));
        let all = timeout(MS, async { (pair.hear(B).await, pair.hear(B).await, pair.hear(B).await) });
        assert_eq!(all.await, Ok((1, 2, 3)));
    });
}

#[test]
fn dropped_message_is_never_heard_and_its_connection_is_reset_after_the_heal() {
    run(|pair| async move {
        let (ours, theirs) = pair.connect().await;
        pair.net().cut(A, B, Cut::new(0, CutMode::Drop));
        pair.say(A, ours, 1);
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        pair.say(B, theirs, 2);
        assert_eq!(pair.hear(A).await, 2, "the other way is open");
        assert!(pair.net().heal(A, B, 0));
        pair.say(A, ours, 3);
        assert_eq!(pair.reason(B).await, CloseReason::Reset);
        assert_eq!(pair.reason(A).await, CloseReason::Reset);
    });
}

#[test]
fn dropping_cut_without_traffic_harms_no_connection() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.net().cut(A, B, Cut::new(0, CutMode::Drop));
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        assert!(pair.net().heal(A, B, 0));
        pair.say(A, ours, 3);
        assert_eq!(pair.hear(B).await, 3);
    });
}

#[test]
fn message_on_the_wire_is_delivered_or_lost_as_the_cut_says() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.say(A, ours, 1);
        pair.net().cut(A, B, Cut { in_flight: InFlight::Delivered, ..Cut::new(0, CutMode::Stall) });
        pair.say(A, ours, 2);
        assert_eq!(pair.hear(B).await, 1);
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        assert!(pair.net().heal(A, B, 0));
        assert_eq!(pair.hear(B).await, 2);
        pair.say(A, ours, 3);
        pair.net().cut(A, B, Cut { in_flight: InFlight::Lost, ..Cut::new(1, CutMode::Stall) });
        assert!(pair.silent(B, Duration::from_secs(1)).await);
        assert!(pair.net().heal(A, B, 1));
        assert_eq!(pair.reason(B).await, CloseReason::Reset);
    });
}

#[test]
fn narrow_line_makes_messages_queue() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        let bandwidth = Some(5_760);
        pair.net().slow(A, B, Slow { fault: 0, delay: None, bandwidth });
        (1..=10).for_each(|word| pair.say(A, ours, word));
        // A request counts for 512 bytes and its head for 64: ten a second.
        assert_eq!(pair.hear(B).await, 1);
        let rest = timeout(Duration::from_millis(800), async {
            for word in 2..=10 {
                assert_eq!(pair.hear(B).await, word);
            }
        });
        assert!(rest.await.is_err(), "ten messages take a second");
        pair.net().hasten(A, B, 0);
        assert_eq!(pair.hear(B).await, 10);
        pair.say(A, ours, 11);
        let next = timeout(Duration::from_millis(50), async { pair.hear(B).await });
        assert_eq!(next.await, Ok(11));
    });
}

#[test]
fn lost_answer_breaks_its_connection_and_only_answers_are_lost() {
    run(|pair| async move {
        let (ours, theirs) = pair.connect().await;
        pair.net().lose_answers(B, None, 1);
        pair.say(B, theirs, 1);
        assert_eq!(pair.hear(A).await, 1, "a request is no answer");
        pair.say(A, ours, 2);
        assert_eq!(pair.hear(B).await, 2);
        let error = ApiError::new(503, "x", "y");
        let reply = Wire::Search(Message::Reply(ApiReply { id: 2, result: Err(error) }));
        assert_eq!(pair.net().send(B, theirs, reply, 0), Some(A));
        assert_eq!((pair.reason(A).await, pair.reason(B).await), (CloseReason::Reset, CloseReason::Reset));
    });
}

#[test]
fn dead_process_is_seen_as_reset_and_refuses_dials() {
    run(|pair| async move {
        pair.connect().await;
        pair.net().process_died(B);
        assert_eq!(pair.reason(A).await, CloseReason::Reset);
        pair.net().dial(A, ConnId(4), Address { host: B, port: Port::Transport });
        assert_eq!(pair.reason(A).await, CloseReason::Refused);
    });
}

#[test]
fn machine_without_power_is_silent_and_resets_old_connections_when_back() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.net().power_lost(B);
        pair.say(A, ours, 1);
        assert!(pair.silent(A, Duration::from_secs(10)).await);
        pair.net().process_started(B);
        let heard = async { assert!(pair.silent(B, Duration::from_secs(2)).await) };
        heard.await;
        assert_eq!(pair.reason(A).await, CloseReason::Reset);
    });
}

#[test]
fn dial_to_a_machine_without_power_succeeds_once_it_is_back() {
    run(|pair| async move {
        pair.net().power_lost(B);
        pair.net().dial(A, ConnId(4), Address { host: B, port: Port::Transport });
        assert!(pair.silent(A, Duration::from_secs(3)).await);
        pair.net().process_started(B);
        assert!(matches!(pair.next(B).await, Arrival::Accepted { .. }));
        assert!(matches!(pair.next(A).await, Arrival::Connected { .. }));
    });
}

#[test]
fn nothing_of_a_former_life_reaches_a_restarted_process() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.say(A, ours, 1);
        pair.net().process_died(B);
        pair.net().process_started(B);
        assert!(pair.silent(B, Duration::from_secs(5)).await);
        assert_eq!(pair.reason(A).await, CloseReason::Reset);
    });
}

#[test]
fn orderly_close_comes_after_what_was_sent() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.say(A, ours, 1);
        pair.net().close(A, ours);
        assert_eq!(pair.hear(B).await, 1);
        assert_eq!(pair.reason(B).await, CloseReason::Closed);
        assert!(pair.silent(A, Duration::from_secs(1)).await);
    });
}

#[test]
fn sending_on_an_ended_connection_does_nothing() {
    run(|pair| async move {
        let (ours, _) = pair.connect().await;
        pair.net().close(A, ours);
        pair.say(A, ours, 1);
        assert_eq!(pair.reason(B).await, CloseReason::Closed);
        sleep(MS).await;
        assert!(pair.silent(B, Duration::from_secs(1)).await);
    });
}

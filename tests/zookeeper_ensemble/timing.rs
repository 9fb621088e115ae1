//! Timing — what is constant and what scales with the tick, as measured on a real ensemble (3.8.0, three servers,
//! syncLimit 5, or 10 at tick 50).

use shardarium::zookeeper::wire::EnsembleConfig;

use crate::*;

const MS: u64 = 1_000_000;

/// tickTime in milliseconds, initLimit, syncLimit.
const SETTINGS: [(u64, u32, u32); 3] = [(2000, 10, 5), (200, 10, 5), (50, 20, 10)];

fn serving_at((tick_ms, init_limit, sync_limit): (u64, u32, u32), phase: u64) -> World {
    let servers = [1, 2, 3].map(zk).to_vec();
    let mut world = World::of_ensemble(EnsembleConfig {
        servers,
        tick_ms,
        init_limit,
        sync_limit,
        ..EnsembleConfig::default()
    });
    world.start_all();
    assert!(world.run_until(5000, |world| world.leader().is_some()));
    world.run_for(500 + phase);
    world
}

/// Milliseconds after `lost` until a new session has written on some survivor, tried every 5 ms.
fn first_write(world: &mut World, survivors: &[HostId], lost: u64) -> u64 {
    loop {
        for server in survivors {
            if let Some(mut client) = world.connect_as(*server, &Client::default())
                && is_there(&world.call(&mut client, create(&format!("/{}", world.now))))
            {
                return (world.now - lost) / MS;
            }
        }
        world.run_for(5);
    }
}

/// When a client on a survivor is cut, and when the first write succeeds, in ms after the leader is lost.
fn leader_lost(settings: (u64, u32, u32), phase: u64, lose: impl Fn(&mut World, HostId)) -> (u64, u64) {
    let mut world = serving_at(settings, phase);
    let leader = world.leader().unwrap();
    let survivors = followers(&world, 3);
    let timeout_ms = 20 * settings.0;
    let mut client = world.reconnect(survivors[0], &Client { timeout_ms, ..Client::default() });
    world.call(&mut client, create("/before"));
    let lost = world.now;
    lose(&mut world, leader);
    assert!(world.run_until(20_000, |world| world.closed.contains(&client.conn)));
    let cut = (world.now - lost) / MS;
    (cut, first_write(&mut world, &survivors, lost))
}

fn tell(what: &str, tick: u64, mut figures: Vec<u64>) -> (u64, u64) {
    figures.sort_unstable();
    let (min, max) = (figures[0], figures[figures.len() - 1]);
    eprintln!("tick {tick:>4} {what:<28} {min:>6} / {:>6} / {max:>6} ms", figures[figures.len() / 2]);
    (min, max)
}

/// "a dead one at once by the reset. From there to serving takes 250 to 500 ms whatever the tick is", and up to
/// 0.7 s with "a second round of notifications or a second dial".
#[test]
fn dead_leader_is_replaced_in_constant_time() {
    for settings in SETTINGS {
        let crash = |world: &mut World, leader| world.crash(leader, Unsynced::Lost);
        let runs: Vec<_> = (0..8).map(|run| leader_lost(settings, run * 37, crash)).collect();
        let (_, cut) = tell("crash, cut", settings.0, runs.iter().map(|run| run.0).collect());
        let (soonest, latest) = tell("crash, write", settings.0, runs.iter().map(|run| run.1).collect());
        assert!(cut <= 20, "{cut}");
        assert!(soonest >= 220 && latest <= 750, "{soonest} to {latest}");
    }
}

/// "a silent leader is noticed by the followers' socket read timeout, exactly syncLimit x tickTime".
#[test]
fn silent_leader_is_noticed_after_the_sync_limit_and_replaced_in_constant_time() {
    for settings in SETTINGS {
        let limit = settings.0 * u64::from(settings.2);
        let runs: Vec<_> = (0..6).map(|run| leader_lost(settings, run * 37, World::cut_off)).collect();
        let (sooner, later) = tell("silence, cut", settings.0, runs.iter().map(|run| run.0).collect());
        let (soonest, latest) = tell("silence, write", settings.0, runs.iter().map(|run| run.1).collect());
        assert!(sooner >= limit - 5 && later <= limit + 20, "{sooner} to {later}");
        assert!(soonest >= limit + 200 && latest <= limit + 750, "{soonest} to {latest}");
    }
}

/// Milliseconds from the last packet of a client to the deletion of its ephemeral node, less its timeout; seen by
/// a watcher on a follower.
fn expiry(settings: (u64, u32, u32), phase: u64, on_leader: bool) -> u64 {
    let mut world = serving_at(settings, phase);
    let others = followers(&world, 3);
    let server = if on_leader { world.leader().unwrap() } else { others[0] };
    let timeout_ms = 3 * settings.0;
    let mut client = world.reconnect(server, &Client { timeout_ms, ..Client::default() });
    world.call(&mut client, create_ephemeral("/e"));
    world.run_for(phase * 13 % settings.0);
    let mut watcher =
        world.reconnect(others[1], &Client { timeout_ms: 20 * settings.0, ..Client::default() });
    assert!(is_there(&world.call(&mut watcher, Op::Exists { path: "/e".into(), watch: true })));
    world.ask(&mut client, Op::Ping);
    let last = world.now;
    let gone = world.hear(watcher.conn, 6 * settings.0);
    assert!(matches!(gone, Some(ServerFrame::Notification { .. })), "{gone:?}");
    (world.now - last) / MS - timeout_ms
}

/// "Leader or standalone: uniform in (0, tickTime] … Through a follower: plus (0, tickTime/2]".
#[test]
fn session_expires_within_a_tick_and_through_a_follower_half_a_tick_later() {
    for settings in SETTINGS {
        let tick = settings.0;
        let figures = |on_leader| (0..12).map(|run| expiry(settings, run * 41, on_leader)).collect();
        let (_, through_leader) = tell("expiry, leader", tick, figures(true));
        let (_, through_follower) = tell("expiry, follower", tick, figures(false));
        let travel = 15;
        assert!((tick / 2..=tick + travel).contains(&through_leader), "{through_leader}");
        assert!((tick / 2..=tick + tick / 2 + travel).contains(&through_follower), "{through_follower}");
    }
}

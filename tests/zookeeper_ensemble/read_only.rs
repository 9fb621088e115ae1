//! Read-only mode — a server without a quorum serves readers until the quorum is back.

use shardarium::zookeeper::wire::EnsembleConfig;

use crate::*;

/// Connects with the read-only flag; whether the server is read-only.
fn connect_reader(world: &mut World, server: HostId) -> Option<(Client, bool)> {
    let as_of = Client::default();
    let conn = world.dial(server);
    let (last_zxid_seen, timeout_ms, session) = (as_of.seen, as_of.timeout_ms, SessionId::NONE);
    world.say(
        conn,
        ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password: 0, read_only: true },
    );
    match world.hear(conn, 1000)? {
        ServerFrame::Connected { timeout_ms, session, password, read_only } => {
            Some((Client { conn, session, password, timeout_ms, ..as_of }, read_only))
        }
        frame => panic!("{frame:?} is no answer to connect"),
    }
}

/// The recording `read_only_mode` of a 3.8.0 ensemble, and what it leaves out: "on return of the quorum those
/// connections are closed", and nothing is lost (ZOOKEEPER-3526).
#[test]
fn reader_is_served_until_the_quorum_is_back() {
    let servers = (1..=3).map(zk).collect();
    let config = EnsembleConfig { servers, tick_ms: 200, read_only: true, ..EnsembleConfig::default() };
    let mut world = World::of_ensemble(config);
    world.start_all();
    let mut writer = world.connect(zk(1));
    assert!(is_there(&world.call(&mut writer, create("/n"))));
    world.run_for(100);
    let (_, read_only) = connect_reader(&mut world, zk(1)).expect("a session");
    assert!(!read_only, "there is a quorum");

    world.crash(zk(2), Unsynced::Kept);
    world.crash(zk(3), Unsynced::Kept);
    world.run_for(1_500);
    assert!(world.closed.contains(&writer.conn));
    assert!(connect_reader(&mut world, zk(1)).is_none(), "it has not looked for 2 s");
    world.run_for(2_500);
    let (mut reader, read_only) = connect_reader(&mut world, zk(1)).expect("a session");
    assert!(read_only);
    assert!(is_there(&world.call(&mut reader, exists("/n"))));
    assert_eq!(world.call(&mut reader, create("/x")), Some(Err(ZkError::NotReadOnly)));
    assert!(world.connect_as(zk(1), &Client::default()).is_none(), "a client that wants to write");
    assert!(world.connect_as(zk(1), &writer).is_none(), "a global session");

    world.start(zk(2));
    world.start(zk(3));
    let mut writer = world.reconnect(zk(1), &writer);
    assert!(world.closed.contains(&reader.conn));
    assert!(is_there(&world.call(&mut writer, exists("/n"))));
    assert!(is_there(&world.call(&mut writer, create("/x"))));
}

//! Order — replies and events come in the order that clients are promised.

use crate::*;

/// "one connection: replies in request order, always; reads wait behind earlier writes".
#[test]
fn pipelined_requests_are_answered_in_order() {
    for server in 1..=3 {
        let (mut world, _) = serving(3, &[]);
        let mut client = world.connect(zk(server));
        let asked: Vec<i32> = [
            create("/a"),
            exists("/a"),
            create("/b"),
            Op::Sync { path: "/".into() },
            exists("/b"),
            Op::Ping,
            exists("/c"),
        ]
        .map(|op| world.ask(&mut client, op))
        .into();
        world.run_for(100);
        let replies: Vec<_> = world.inboxes[&client.conn].iter().filter_map(reply).collect();
        assert_eq!(replies.iter().map(|(xid, _)| *xid).collect::<Vec<_>>(), asked);
        let found: Vec<bool> = replies.iter().map(|(_, found)| *found).collect();
        assert_eq!(found, [true, true, true, true, true, true, false]);
    }
}

fn reply(frame: &ServerFrame) -> Option<(i32, bool)> {
    match frame {
        ServerFrame::Reply { xid, result, .. } => Some((*xid, result.is_ok())),
        _ => None,
    }
}

/// "client sees the event before the new data (on that connection)", and "before the reply of the op that
/// caused it".
#[test]
fn watch_event_comes_before_the_reply_that_shows_it() {
    let (mut world, clients) = serving(3, &[1, 2]);
    let (mut one, mut other) = (clients[0], clients[1]);
    let watch = Op::Exists { path: "/a".into(), watch: true };
    for client in [&mut one, &mut other] {
        assert_eq!(world.call(client, watch.clone()), Some(Err(ZkError::NoNode)));
    }
    world.ask(&mut one, create("/a"));
    let event = ServerFrame::Notification {
        event: WatchEvent { path: "/a".into(), change: WatchChange::NodeCreated },
        zxid: NO_ZXID,
    };
    assert_eq!(world.hear(one.conn, 1000), Some(event.clone()));
    assert!(matches!(world.hear(one.conn, 1000), Some(ServerFrame::Reply { .. })));
    assert_eq!(world.hear(other.conn, 1000), Some(event));
}

/// "sync … waits for the proposals outstanding when it reached the leader".
#[test]
fn read_after_sync_sees_what_was_acknowledged_elsewhere() {
    let (mut world, clients) = serving(3, &[1, 2]);
    let (mut writer, mut reader) = (clients[0], clients[1]);
    for number in 0..20 {
        let path = format!("/node-{number}");
        assert!(is_there(&world.call(&mut writer, create(&path))));
        world.ask(&mut reader, Op::Sync { path: path.clone() });
        assert!(is_there(&world.call(&mut reader, exists(&path))));
    }
}

/// "the zxids a session sees (any server) never go back".
#[test]
fn reply_zxids_never_go_back_across_servers() {
    let (mut world, clients) = serving(3, &[1]);
    let mut client = clients[0];
    let mut seen = Zxid(0);
    for round in 0..9_u16 {
        client = world.reconnect(zk(1 + round % 3), &client);
        world.call(&mut client, create(&format!("/{round}")));
        let conns: BTreeSet<ConnId> = world.inboxes.keys().copied().collect();
        assert!(conns.contains(&client.conn));
        assert!(client.seen >= seen);
        seen = client.seen;
        world.run_for(50);
    }
}

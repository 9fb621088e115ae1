//! Tests of requests — decides whether each is answered, in its place, or its connection closed. It never
//! looks at what the answer says of the tree.

use super::*;

/// The recording `proto_replies_in_order` of a 3.8.0 server: a read waits behind the writes before it.
#[test]
fn replies_come_in_the_order_of_requests() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.ask_at_once(client, [(1, create("/n")), (2, exists("/n")), (3, set("/n")), (PING_XID, Op::Ping)]);
    let replies = brief(lone.hear(client.conn));
    assert_eq!(replies, [(1, None), (2, None), (3, None), (PING_XID, None)]);
}

/// The recording `watch_data_one_shot` of a 3.8.0 server: "event precedes the reply of the op that fired it".
#[test]
fn event_comes_before_the_reply_of_what_caused_it() {
    for compat in [Compat::V3_8, Compat::V3_9] {
        let mut lone = Lone::with(EnsembleConfig { compat, ..config() });
        let client = lone.connect();
        lone.call(client, create("/n")).unwrap();
        lone.call(client, Op::GetData { path: "/n".into(), watch: true }).unwrap();
        lone.ask(client.conn, 7, set("/n"));
        let frames = lone.hear(client.conn);
        let [ServerFrame::Notification { zxid: told, .. }, ServerFrame::Reply { xid: 7, zxid, .. }] =
            &frames[..]
        else {
            panic!("not an event and a reply: {frames:?}");
        };
        // "header zxid -1; from 3.9.0 the txn's zxid, ZOOKEEPER-4655".
        assert_eq!(*told, if compat == Compat::V3_8 { NO_ZXID } else { *zxid });
    }
}

/// "unknown opcode | reply Unimplemented with header zxid -1, then connection closed; session lives on"
#[test]
fn unknown_request_is_answered_and_closes_the_connection_alone() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.ask(client.conn, 3, Op::Unknown);
    let result = Err(ZkError::Unimplemented);
    assert_eq!(lone.hear(client.conn), [ServerFrame::Reply { xid: 3, zxid: NO_ZXID, result }]);
    assert!(lone.is_closed(client.conn));
    let again = lone.connect_as(hello_of(client.session, client.password));
    assert_eq!(again.session, client.session);
}

/// "body too short | MarshallingError; a write op still uses up a zxid"
#[test]
fn malformed_write_uses_up_a_zxid_and_malformed_read_none() {
    let mut lone = Lone::new();
    let client = lone.connect();
    let error = ZkError::MarshallingError;
    let mut zxid_after = |write| {
        lone.ask(client.conn, 3, Op::Malformed { write, error });
        match lone.hear(client.conn)[..] {
            [ServerFrame::Reply { xid: 3, zxid, result: Err(ZkError::MarshallingError) }] => zxid.0,
            ref other => panic!("{other:?}"),
        }
    };
    let first = zxid_after(false);
    assert_eq!([zxid_after(true), zxid_after(false)], [first + 1, first + 1]);
}

/// The recording `check_op_alone` of a 3.8.0 server: "errors are answered, a success never is …, the
/// connection goes on and a zxid is used". From 3.9.3 on it is not understood (ZOOKEEPER-2623).
#[test]
fn check_alone_is_answered_if_it_fails_in_3_8_and_never_understood_in_3_9() {
    let check = |version| Op::Check { path: "/zookeeper".into(), version };
    let mut old = Lone::new();
    let client = old.connect();
    assert_eq!(old.call(client, check(7)), Err(ZkError::BadVersion));
    old.ask(client.conn, 5, check(-1));
    assert_eq!(old.hear(client.conn), []);
    old.ask(client.conn, 6, Op::Ping);
    assert_eq!(brief(old.hear(client.conn)), [(6, None)]);

    let mut new = Lone::with(EnsembleConfig { compat: Compat::V3_9, ..config() });
    let client = new.connect();
    assert_eq!(new.call(client, check(7)), Err(ZkError::Unimplemented));
    assert!(new.is_closed(client.conn));
}

/// The recording `data_size_limit` of a 3.8.0 server: "Over-long frame: close, session survives".
#[test]
fn request_longer_than_a_frame_closes_the_connection() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.ask(client.conn, 1, Op::create("/big", bytes(1_048_576), CreateMode::Persistent));
    assert!(lone.is_closed(client.conn) && lone.hear(client.conn).is_empty());
    let again = lone.connect_as(hello_of(client.session, client.password));
    assert_eq!(lone.call(again, exists("/big")), Err(ZkError::NoNode));
}

/// The recording `session_after_close` of a 3.8.0 server: the reply, then the end; what came behind is not
/// answered ("SessionExpired or no answer").
#[test]
fn close_is_answered_and_nothing_behind_it() {
    let mut lone = Lone::new();
    let client = lone.connect();
    lone.call(client, ephemeral("/e")).unwrap();
    for (xid, op) in [(2, Op::CloseSession), (3, create("/late"))] {
        lone.ask(client.conn, xid, op);
    }
    assert_eq!(brief(lone.hear(client.conn)), [(2, None)]);
    assert!(lone.is_closed(client.conn));
    let other = lone.connect();
    for path in ["/e", "/late"] {
        assert_eq!(lone.call(other, exists(path)), Err(ZkError::NoNode), "{path}");
    }
}

/// The recording `auth_multiple_ids` of a 3.8.0 server: the order is that of a Java hash set, the header's
/// zxid 0.
#[test]
fn identities_are_proven_for_one_connection() {
    let mut lone = Lone::new();
    let (client, other) = (lone.connect(), lone.connect());
    let done = ServerFrame::Reply { xid: AUTH_XID, zxid: Zxid(0), result: Ok(Reply::Done) };
    for credential in ["u1:p", "u2:p", "u1:p"] {
        assert_eq!(lone.auth(client, "digest", credential), std::slice::from_ref(&done));
    }
    let expected = [("digest", "u2"), ("digest", "u1"), ("ip", "127.0.0.1")];
    assert_eq!(lone.who(client), expected.map(|(scheme, id)| (scheme.to_owned(), id.to_owned())));
    let secret =
        Op::Create { path: "/s".into(), data: None, acl: Acl::creator(), mode: CreateMode::Persistent };
    lone.call(client, secret).unwrap();
    assert!(lone.call(client, get("/s")).is_ok());
    assert_eq!(lone.call(other, get("/s")), Err(ZkError::NoAuth));
    let again = lone.connect_as(hello_of(client.session, client.password));
    assert_eq!(lone.call(again, get("/s")), Err(ZkError::NoAuth), "not for the session");
}

/// The recording `auth_failed_closes` of a 3.8.0 server.
#[test]
fn failed_proof_closes_the_connection_and_spares_the_session() {
    let mut lone = Lone::new();
    let client = lone.connect();
    let failed = ServerFrame::Reply { xid: AUTH_XID, zxid: Zxid(0), result: Err(ZkError::AuthFailed) };
    assert_eq!(lone.auth(client, "nosuch", "x"), [failed]);
    assert!(lone.is_closed(client.conn));
    assert_eq!(lone.connect_as(hello_of(client.session, client.password)).session, client.session);
}

/// The recording `super_user` of a 3.8.0 server.
#[test]
fn super_user_may_do_everything() {
    let super_digest = Some(digest_of("super:test"));
    let mut lone = Lone::with(EnsembleConfig { super_digest, ..config() });
    let client = lone.connect();
    lone.call(
        client,
        Op::Create { path: "/s".into(), data: None, acl: Acl::read_only(), mode: CreateMode::Persistent },
    )
    .unwrap();
    assert_eq!(lone.call(client, set("/s")), Err(ZkError::NoAuth));
    lone.auth(client, "digest", "super:test");
    assert!(lone.call(client, set("/s")).is_ok());
}

/// The recording `watch_on_unreadable` of Debian's 3.8.0 server (ZOOKEEPER-4799).
#[test]
fn event_on_a_node_that_may_not_be_read_is_withheld() {
    let mut lone = Lone::new();
    let client = lone.connect();
    let write_only =
        Acl::new([crate::zookeeper::wire::AclEntry { perms: 2, id: Id::new("world", "anyone") }]);
    lone.call(
        client,
        Op::Create { path: "/n".into(), data: None, acl: write_only, mode: CreateMode::Persistent },
    )
    .unwrap();
    lone.call(client, Op::AddWatch { path: "/n".into(), mode: AddWatchMode::Persistent }).unwrap();
    lone.ask(client.conn, 9, set("/n"));
    assert_eq!(brief(lone.hear(client.conn)), [(9, None)]);
}

#[test]
fn watches_are_added_checked_and_removed_by_request() {
    let mut lone = Lone::new();
    let client = lone.connect();
    let (path, kind) = (|| "/n".to_owned(), WatcherType::Any);
    let mut call = |op| lone.call(client, op);
    assert_eq!(call(Op::CheckWatches { path: path(), kind }), Err(ZkError::NoWatcher));
    assert_eq!(call(Op::AddWatch { path: path(), mode: AddWatchMode::Persistent }), Ok(Reply::Done));
    assert_eq!(call(Op::CheckWatches { path: path(), kind }), Ok(Reply::Done));
    assert_eq!(call(Op::RemoveWatches { path: path(), kind }), Ok(Reply::Done));
    assert_eq!(call(Op::RemoveWatches { path: path(), kind }), Err(ZkError::NoWatcher));
}

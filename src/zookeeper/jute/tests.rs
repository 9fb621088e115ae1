//! The codec against itself, against bytes of a real server, and against nonsense.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{ClientCodec, LENGTH_BYTES, ServerCodec, Violation, codes::*, read_request};
use crate::{
    name::{SessionId, Zxid},
    zookeeper::{
        session,
        wire::{
            AUTH_XID, Acl, AclEntry, AddWatchMode, ClientFrame, Compat, CreateMode, Data, EnsembleConfig, Id,
            NO_ZXID, Op, PING_XID, Reply, ServerFrame, Stat, WatchChange, WatchEvent, WatcherType, ZkError,
        },
    },
};

// ---- what there is to say ----

fn text() -> impl Strategy<Value = String> {
    "[/a-zé\u{0}\u{1f980}]{0,12}"
}

fn data() -> impl Strategy<Value = Data> {
    option::of(vec(any::<u8>(), 0..40)).prop_map(|data| data.map(Arc::from))
}

fn acl() -> impl Strategy<Value = Acl> {
    let entry = (any::<i32>(), text(), text())
        .prop_map(|(perms, scheme, id)| AclEntry { perms, id: Id { scheme, id } });
    prop_oneof![Just(Acl::open()), vec(entry, 0..4).prop_map(Acl::new)]
}

fn mode() -> impl Strategy<Value = CreateMode> {
    use CreateMode::*;
    prop_oneof![
        select(vec![Persistent, Ephemeral, PersistentSequential, EphemeralSequential, Container]),
        any::<i64>().prop_map(|ttl_ms| PersistentTtl { ttl_ms }),
        any::<i64>().prop_map(|ttl_ms| PersistentSequentialTtl { ttl_ms }),
    ]
}

fn change_of(path: impl Strategy<Value = String>) -> impl Strategy<Value = Op> {
    (0..4, path, data(), acl(), mode(), any::<i32>()).prop_map(|(which, path, data, acl, mode, version)| {
        match which {
            0 => Op::Create { path, data, acl, mode },
            1 => Op::Delete { path, version },
            2 => Op::SetData { path, data, version },
            _ => Op::Check { path, version },
        }
    })
}

fn read() -> impl Strategy<Value = Op> {
    (text(), any::<bool>(), 0..8).prop_map(|(path, watch, which)| match which {
        0 => Op::Exists { path, watch },
        1 => Op::GetData { path, watch },
        2 => Op::GetChildren { path, watch },
        3 => Op::GetAcl { path },
        4 => Op::GetAllChildrenNumber { path },
        5 => Op::GetEphemerals { prefix: path },
        6 => Op::Sync { path },
        _ => Op::WhoAmI,
    })
}

fn watch() -> impl Strategy<Value = Op> {
    let kind = select(vec![WatcherType::Children, WatcherType::Data, WatcherType::Any]);
    let lists = prop::array::uniform5(vec(text(), 0..4));
    let set = (0..i64::MAX as u64, lists).prop_map(|(zxid, [data, exist, child, persistent, recursive])| {
        Op::SetWatches { relative_zxid: Zxid(zxid), data, exist, child, persistent, recursive }
    });
    let modes = select(vec![AddWatchMode::Persistent, AddWatchMode::PersistentRecursive]);
    prop_oneof![
        set,
        (text(), modes).prop_map(|(path, mode)| Op::AddWatch { path, mode }),
        (text(), kind.clone()).prop_map(|(path, kind)| Op::RemoveWatches { path, kind }),
        (text(), kind).prop_map(|(path, kind)| Op::CheckWatches { path, kind }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let members = (option::of(text()), option::of(text()), option::of(text()), any::<i64>());
    let reads = (text(), any::<bool>()).prop_map(|(path, is_data)| match is_data {
        true => Op::GetData { path, watch: false },
        false => Op::GetChildren { path, watch: false },
    });
    prop_oneof![
        change_of(text()),
        read(),
        watch(),
        vec(change_of("/[a-z/]{0,9}"), 0..5).prop_map(Op::Multi),
        vec(reads, 0..5).prop_map(Op::MultiRead),
        (text(), acl(), any::<i32>()).prop_map(|(path, acl, version)| Op::SetAcl { path, acl, version }),
        members.prop_map(|(joining, leaving, members, from_config)| Op::Reconfig {
            joining,
            leaving,
            members,
            from_config
        }),
        (text(), vec(any::<u8>(), 0..20))
            .prop_map(|(scheme, secret)| Op::Auth { scheme, credential: secret.into() }),
        select(vec![Op::CloseSession, Op::Ping, Op::Unknown]),
        select(vec![
            Op::Malformed { write: true, error: ZkError::BadArguments },
            Op::Malformed { write: true, error: ZkError::MarshallingError },
            Op::Malformed { write: false, error: ZkError::MarshallingError },
        ]),
    ]
}

fn stat() -> impl Strategy<Value = Stat> {
    (any::<[u64; 4]>(), any::<[i64; 2]>(), any::<[i32; 5]>()).prop_map(|(ids, times, counts)| Stat {
        czxid: Zxid(ids[0]),
        mzxid: Zxid(ids[1]),
        ctime: times[0],
        mtime: times[1],
        version: counts[0],
        cversion: counts[1],
        aversion: counts[2],
        ephemeral_owner: SessionId(ids[2]),
        data_length: counts[3],
        num_children: counts[4],
        pzxid: Zxid(ids[3]),
    })
}

/// An answer that fits the operation, as the client's end shows it.
fn answer(op: &Op, stat: Stat, data: Data, names: Vec<String>) -> Reply {
    let none = Stat::default();
    match op {
        Op::Create { path, .. } => Reply::Created { path: path.clone(), stat },
        Op::SetData { .. } | Op::SetAcl { .. } | Op::Exists { .. } => Reply::Stat(stat),
        Op::GetData { .. } | Op::Reconfig { .. } => Reply::Data { data, stat },
        Op::GetChildren { .. } => Reply::Children { names, stat },
        Op::GetAcl { .. } => Reply::Acl { acl: Acl::creator(), stat },
        Op::GetAllChildrenNumber { .. } => Reply::Count(stat.version),
        Op::GetEphemerals { .. } => Reply::Paths(names),
        Op::WhoAmI => Reply::Ids(names.into_iter().map(|name| Id::new("digest", name)).collect()),
        Op::Sync { path } => Reply::Synced { path: path.clone() },
        Op::Multi(ops) => Reply::Multi(
            ops.iter()
                .map(|op| match (op, answer(op, stat, None, Vec::new())) {
                    (Op::Create { mode, .. }, Reply::Created { path, .. }) => {
                        let stat = if tells_stat_in_multi(*mode) { stat } else { none };
                        Ok(Reply::Created { path, stat })
                    }
                    (_, reply) => Ok(reply),
                })
                .collect(),
        ),
        Op::MultiRead(ops) => Reply::Multi(
            ops.iter()
                .map(|op| match op {
                    Op::GetData { .. } => Ok(Reply::Data { data: data.clone(), stat }),
                    _ if names.is_empty() => Err(ZkError::NoNode),
                    _ => Ok(Reply::Children { names: names.clone(), stat: none }),
                })
                .collect(),
        ),
        _ => Reply::Done,
    }
}

fn tells_stat_in_multi(mode: CreateMode) -> bool {
    matches!(
        mode,
        CreateMode::Container | CreateMode::PersistentTtl { .. } | CreateMode::PersistentSequentialTtl { .. }
    )
}

// ---- two ends of a connection ----

const CONNECT: ClientFrame = ClientFrame::Connect {
    last_zxid_seen: Zxid(7),
    timeout_ms: 10_000,
    session: SessionId(3),
    password: 5,
    read_only: true,
};
const CONNECTED: ServerFrame =
    ServerFrame::Connected { timeout_ms: 10_000, session: SessionId(3), password: 5, read_only: false };

fn to_server(client: &mut ClientCodec, server: &mut ServerCodec, frame: &ClientFrame) -> ClientFrame {
    let mut bytes = Vec::new();
    client.encode(frame, &mut bytes);
    server.feed(&bytes);
    server.next_frame().unwrap().unwrap()
}

fn to_client(client: &mut ClientCodec, server: &mut ServerCodec, frame: &ServerFrame) -> ServerFrame {
    let mut bytes = Vec::new();
    server.encode(frame, &mut bytes);
    client.feed(&bytes);
    client.next_frame().unwrap().unwrap()
}

fn connection() -> (ClientCodec, ServerCodec) {
    let (mut client, mut server) = (ClientCodec::new(), ServerCodec::new(&EnsembleConfig::default()));
    assert_eq!(to_server(&mut client, &mut server, &CONNECT), CONNECT);
    assert_eq!(to_client(&mut client, &mut server, &CONNECTED), CONNECTED);
    (client, server)
}

/// A server whose connection is established.
fn open(compat: Compat) -> ServerCodec {
    let mut server = ServerCodec::new(&EnsembleConfig { compat, ..EnsembleConfig::default() });
    server.feed(&framed(&[0; 44]));
    server.next_frame().unwrap().unwrap();
    server.encode(&CONNECTED, &mut Vec::new());
    server
}

fn framed(record: &[u8]) -> Vec<u8> {
    [&(record.len() as i32).to_be_bytes()[..], record].concat()
}

fn request(xid: i32, code: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&xid.to_be_bytes()[..], &code.to_be_bytes(), body].concat())
}

fn string(text: &str) -> Vec<u8> {
    framed(text.as_bytes())
}

fn reply(xid: i32, result: Result<Reply, ZkError>) -> ServerFrame {
    ServerFrame::Reply { xid, zxid: Zxid(9), result }
}

proptest! {
    #[test]
    fn requests_and_their_replies_survive_the_wire(
        ops in vec((op(), stat(), data(), vec(text(), 0..3)), 1..6),
    ) {
        let (mut client, mut server) = connection();
        for (xid, (op, ..)) in (1..).zip(&ops) {
            let xid = if *op == Op::Ping { PING_XID } else { xid };
            let frame = ClientFrame::Request { xid, op: op.clone() };
            prop_assert_eq!(to_server(&mut client, &mut server, &frame), frame);
        }
        for (xid, (op, stat, data, names)) in (1..).zip(ops) {
            let (xid, zxid) = match op {
                Op::Ping => (PING_XID, Zxid(9)),
                Op::Auth { .. } => (xid, Zxid(0)),
                _ => (xid, Zxid(9)),
            };
            let result = match op {
                Op::Malformed { error, .. } => Err(error),
                op => Ok(answer(&op, stat, data, names)),
            };
            let frame = ServerFrame::Reply { xid, zxid, result };
            prop_assert_eq!(to_client(&mut client, &mut server, &frame), frame);
        }
        prop_assert_eq!(server.outstanding(), 0);
    }

    #[test]
    fn every_error_survives_the_wire(op in op(), error in select(ZkError::ALL.to_vec())) {
        let (mut client, mut server) = connection();
        to_server(&mut client, &mut server, &ClientFrame::Request { xid: 1, op });
        let frame = reply(1, Err(error));
        prop_assert_eq!(to_client(&mut client, &mut server, &frame), frame);
    }

    #[test]
    fn notification_survives_the_wire(path in text(), which in 0_usize..4) {
        let (mut client, mut server) = connection();
        let change = [
            WatchChange::NodeCreated,
            WatchChange::NodeDeleted,
            WatchChange::NodeDataChanged,
            WatchChange::NodeChildrenChanged,
        ][which];
        let frame = ServerFrame::Notification { event: WatchEvent { path, change }, zxid: NO_ZXID };
        prop_assert_eq!(to_client(&mut client, &mut server, &frame), frame);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), is_open in any::<bool>()) {
        let mut server = match is_open {
            true => open(Compat::V3_9),
            false => ServerCodec::new(&EnsembleConfig::default()),
        };
        server.feed(&bytes);
        while let Ok(Some(_)) = server.next_frame() {}
        let mut client = ClientCodec::new();
        client.feed(&bytes);
        while let Ok(Some(_)) = client.next_frame() {}
    }

    /// Whatever the body, a frame of the right length is a request, and the next one is understood.
    #[test]
    fn nonsense_in_a_body_does_not_spoil_what_follows(
        code in -12_i32..110,
        body in vec(any::<u8>(), 0..60),
    ) {
        let mut server = open(Compat::V3_8);
        server.feed(&request(1, code, &body));
        server.feed(&request(2, EXISTS, &[&string("/a")[..], &[1]].concat()));
        let first = server.next_frame();
        if code == AUTH && first.is_err() {
            return Ok(());
        }
        let is_request = matches!(first, Ok(Some(ClientFrame::Request { .. })));
        prop_assert!(is_request);
        let exists = Op::Exists { path: "/a".into(), watch: true };
        prop_assert_eq!(server.next_frame(), Ok(Some(ClientFrame::Request { xid: 2, op: exists })));
    }

    #[test]
    fn mutated_frames_never_panic(
        op in op(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        ClientCodec::new().encode(&ClientFrame::Request { xid: 1, op }, &mut bytes);
        let mut body = bytes.split_off(LENGTH_BYTES);
        let place = at.index(body.len());
        body[place] = byte;
        body.truncate(cut.index(body.len() + 1));
        let mut server = open(Compat::V3_9);
        server.feed(&framed(&body));
        while let Ok(Some(frame)) = server.next_frame() {
            let ClientFrame::Request { xid, op } = frame else { unreachable!("the connection is open") };
            server.encode(&reply(xid, Ok(answer(&op, Stat::default(), None, vec![]))), &mut Vec::new());
        }
    }
}

// ---- what a real 3.8.0 server was seen to do ----

fn malformed(write: bool) -> Op {
    Op::Malformed { write, error: ZkError::MarshallingError }
}

/// "body too short: MarshallingError; a write op still uses up a zxid (obs)"
#[test]
fn short_body_is_malformed_and_a_write_if_its_code_is() {
    for code in [CREATE, DELETE, SET_DATA, SET_ACL, CHECK, MULTI, CREATE_2, CREATE_TTL, CREATE_SESSION] {
        assert_eq!(read_request(code, &[0, 0], Compat::V3_8), malformed(true), "{code}");
    }
    for code in [EXISTS, GET_DATA, GET_ACL, SYNC, RECONFIG, REMOVE_WATCHES, SET_WATCHES, ADD_WATCH] {
        assert_eq!(read_request(code, &[0, 0], Compat::V3_8), malformed(false), "{code}");
    }
}

#[test]
fn null_path_is_unreadable_for_some_and_bad_for_others() {
    let null = [0xff; 4];
    let with = |code, rest: &[u8]| read_request(code, &[&null[..], rest].concat(), Compat::V3_8);
    for code in [EXISTS, GET_DATA, GET_CHILDREN] {
        assert_eq!(with(code, &[0]), malformed(false));
    }
    assert_eq!(with(DELETE, &null), malformed(true));
    let (path, version) = (String::new(), -1);
    assert_eq!(with(CHECK, &null), Op::Check { path: path.clone(), version });
    assert_eq!(
        with(SET_DATA, &[null, null].concat()),
        Op::SetData { path: path.clone(), data: None, version }
    );
    assert_eq!(with(GET_EPHEMERALS, &[]), Op::GetEphemerals { prefix: path.clone() });
    assert_eq!(with(ADD_WATCH, &[0; 4]), Op::AddWatch { path, mode: AddWatchMode::Persistent });
    assert_eq!(with(ADD_WATCH, &[0, 0, 0, 1]), malformed(false));
    assert_eq!(with(REMOVE_WATCHES, &[0, 0, 0, 3]), malformed(false));
}

/// "unknown opcode: reply Unimplemented", and notification and error are no requests either.
#[test]
fn unknown_op_code_is_told_from_an_unreadable_body() {
    for code in [NOTIFICATION, ERROR, 10, 23, 99, 102, 108, 1_000, i32::MIN] {
        assert_eq!(read_request(code, &[], Compat::V3_8), Op::Unknown, "{code}");
    }
}

#[test]
fn container_is_never_deleted_for_a_client() {
    let refused = Op::Malformed { write: true, error: ZkError::BadArguments };
    assert_eq!(read_request(DELETE_CONTAINER, &string("/c"), Compat::V3_8), refused);
    assert_eq!(read_request(DELETE_CONTAINER, &[], Compat::V3_9), refused);
}

#[test]
fn what_follows_a_body_is_ignored_and_any_byte_is_true() {
    let body = [&string("/p")[..], b"\x07extra"].concat();
    let exists = Op::Exists { path: "/p".into(), watch: true };
    assert_eq!(read_request(EXISTS, &body, Compat::V3_8), exists);
}

/// "an op that is not create*/delete*/setData/check -> MarshallingError for the whole"
#[test]
fn read_within_a_multi_spoils_it() {
    let header = |code: i32| [&code.to_be_bytes()[..], &[0], &[0xff; 4]].concat();
    let end = [&[0xff; 4][..], &[1], &[0xff; 4]].concat();
    let delete = [header(DELETE), string("/a"), vec![0xff; 4]].concat();
    let get = [header(GET_DATA), string("/a"), vec![0]].concat();
    let read = |code, parts: &[&[u8]]| read_request(code, &parts.concat(), Compat::V3_8);
    let gone = Op::Delete { path: "/a".into(), version: -1 };
    assert_eq!(read(MULTI, &[&delete, &end]), Op::Multi(vec![gone]));
    assert_eq!(read(MULTI, &[&delete, &get, &end]), malformed(true));
    assert_eq!(read(MULTI_READ, &[&get, &delete, &end]), malformed(false));
    assert_eq!(read(MULTI, &[&delete]), malformed(true));
}

/// "3.8: type 1 children, 2 data, 3 any [3.9: 4 persistent, 5 persistent recursive]"
#[test]
fn watcher_types_of_3_9_mean_nothing_to_3_8() {
    let body = [&string("/a")[..], &[0, 0, 0, 4]].concat();
    assert_eq!(read_request(CHECK_WATCHES, &body, Compat::V3_8), malformed(false));
    let kind = WatcherType::Persistent;
    assert_eq!(
        read_request(CHECK_WATCHES, &body, Compat::V3_9),
        Op::CheckWatches { path: "/a".into(), kind }
    );
}

fn encoded(server: &mut ServerCodec, frame: &ServerFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    server.encode(frame, &mut bytes);
    bytes.split_off(LENGTH_BYTES)
}

/// "readOnly byte (absent in old clients: accepted, reply then lacks it too)"
#[test]
fn old_client_is_not_told_about_read_only() {
    let connect = [&[0; 28 - 4][..], &framed(&[0; 16])].concat();
    let mut old = ServerCodec::new(&EnsembleConfig::default());
    old.feed(&framed(&connect));
    assert!(old.next_frame().unwrap().is_some());
    let without = encoded(&mut old, &CONNECTED);
    let mut new = ServerCodec::new(&EnsembleConfig::default());
    new.feed(&framed(&[&connect[..], &[0]].concat()));
    assert!(new.next_frame().unwrap().is_some());
    assert_eq!(encoded(&mut new, &CONNECTED), [&without[..], &[0]].concat());
}

#[test]
fn password_of_another_length_is_never_the_right_one() {
    let session = SessionId(0x0100_0001);
    for proof in [&[][..], &[0; 4], &[0; 17]] {
        let mut server = ServerCodec::new(&EnsembleConfig::default());
        let ids = [&[0; 16][..], &session.0.to_be_bytes()].concat();
        server.feed(&framed(&[&ids[..], &framed(proof)].concat()));
        let Some(ClientFrame::Connect { password, .. }) = server.next_frame().unwrap() else {
            panic!("a connect request")
        };
        assert_ne!(password, session::password(session));
    }
}

#[test]
fn request_before_the_session_is_set_up_waits() {
    let mut server = ServerCodec::new(&EnsembleConfig::default());
    server.feed(&framed(&[0; 44]));
    server.feed(&request(1, PING, &[]));
    assert!(matches!(server.next_frame(), Ok(Some(ClientFrame::Connect { .. }))));
    assert_eq!(server.next_frame(), Ok(None));
    server.encode(&CONNECTED, &mut Vec::new());
    assert_eq!(server.next_frame(), Ok(Some(ClientFrame::Request { xid: PING_XID, op: Op::Ping })));
}

#[test]
fn short_connect_request_header_or_auth_packet_ends_the_connection() {
    let mut server = ServerCodec::new(&EnsembleConfig::default());
    server.feed(&framed(&[0; 20]));
    assert_eq!(server.next_frame(), Err(Violation::Record));
    for record in [&framed(&[0; 7])[..], &framed(&[]), &request(AUTH_XID, AUTH, &[0])] {
        let mut server = open(Compat::V3_8);
        server.feed(record);
        assert_eq!(server.next_frame(), Err(Violation::Record));
    }
}

fn asked(compat: Compat, code: i32, body: &[u8]) -> ServerCodec {
    let mut server = open(compat);
    server.feed(&request(1, code, body));
    server.next_frame().unwrap().unwrap();
    server
}

#[test]
fn create_and_children_answer_without_a_stat_and_add_watch_with_a_number() {
    const HEADER: usize = 16;
    let created = reply(1, Ok(Reply::Created { path: "/a".into(), stat: Stat::default() }));
    let children = reply(1, Ok(Reply::Children { names: vec!["a".into()], stat: Stat::default() }));
    let body =
        |code, body: &[u8], frame| encoded(&mut asked(Compat::V3_8, code, body), frame).split_off(HEADER);
    assert_eq!(body(CREATE, &[], &created), string("/a"));
    assert_eq!(body(CREATE_2, &[], &created).len(), string("/a").len() + 68);
    assert_eq!(body(GET_CHILDREN, &[], &children), [&[0, 0, 0, 1][..], &string("a")].concat());
    assert_eq!(body(GET_CHILDREN_2, &[], &children).len(), 4 + 5 + 68);
    let done = reply(1, Ok(Reply::Done));
    assert_eq!(body(ADD_WATCH, &[], &done), [0; 4]);
    assert_eq!(body(DELETE, &[], &done), Vec::<u8>::new());
    let synced = reply(1, Ok(Reply::Synced { path: String::new() }));
    assert_eq!(body(SYNC, &[0xff; 4], &synced), [0xff; 4]);
}

/// "create in 3.8.0 answers create2 inside multi as type create (ZOOKEEPER-4026, fixed 3.7.2, 3.9.0)"; of a
/// container it answers with a Stat.
#[test]
fn create_2_within_a_multi_tells_its_stat_from_3_9_on() {
    let create = |code: i32, flags: i32| {
        let header = [&code.to_be_bytes()[..], &[0], &[0xff; 4]].concat();
        let end = [&[0xff; 4][..], &[1], &[0xff; 4]].concat();
        [header, string("/a"), vec![0xff; 8], flags.to_be_bytes().to_vec(), end].concat()
    };
    let kind = |compat, body: &[u8]| {
        let created = Reply::Created { path: "/a".into(), stat: Stat::default() };
        let frame = reply(1, Ok(Reply::Multi(vec![Ok(created)])));
        encoded(&mut asked(compat, MULTI, body), &frame)[19]
    };
    assert_eq!(i32::from(kind(Compat::V3_8, &create(CREATE_2, 0))), CREATE);
    assert_eq!(i32::from(kind(Compat::V3_9, &create(CREATE_2, 0))), CREATE_2);
    assert_eq!(i32::from(kind(Compat::V3_9, &create(CREATE, 0))), CREATE);
    assert_eq!(i32::from(kind(Compat::V3_8, &create(CREATE, 4))), CREATE_2);
    assert_eq!(i32::from(kind(Compat::V3_8, &create(CREATE_CONTAINER, 0))), CREATE);
}

/// "Header err 0 even on failure: ops before the failing one `error 0`, it its code, later ones
/// RuntimeInconsistency (-2)"
#[test]
fn failed_multi_answers_an_error_for_each_op() {
    let results = vec![Ok(Reply::Done), Err(ZkError::NoNode), Err(ZkError::RuntimeInconsistency)];
    let delete = [&DELETE.to_be_bytes()[..], &[0], &[0xff; 4], &string("/a"), &[0xff; 4]].concat();
    let body = [delete.repeat(3), [&[0xff; 4][..], &[1], &[0xff; 4]].concat()].concat();
    let bytes = encoded(&mut asked(Compat::V3_8, MULTI, &body), &reply(1, Ok(Reply::Multi(results))));
    let error = |code: i32| [&[0xff; 4][..], &[0], &code.to_be_bytes(), &code.to_be_bytes()].concat();
    let end = [&[0xff; 4][..], &[1], &[0xff; 4]].concat();
    assert_eq!(bytes[16..], [error(0), error(-101), error(-2), end].concat());
}

/// "auth -4 (its reply has zxid 0)": it is taken out of turn, and a reply behind it keeps its shape.
#[test]
fn auth_answered_out_of_turn_leaves_the_others_their_shapes() {
    let mut server = open(Compat::V3_8);
    server.feed(&request(1, ADD_WATCH, &[]));
    server.feed(&request(1, AUTH, &[&[0; 4][..], &string("digest"), &string("a:b")].concat()));
    while let Ok(Some(_)) = server.next_frame() {}
    assert_eq!(server.outstanding(), 2);
    let auth = ServerFrame::Reply { xid: 1, zxid: Zxid(0), result: Ok(Reply::Done) };
    assert_eq!(encoded(&mut server, &auth).len(), 16);
    assert_eq!(encoded(&mut server, &reply(1, Ok(Reply::Done))).len(), 20);
}

#[test]
fn request_that_is_never_answered_is_forgotten() {
    let mut server = open(Compat::V3_8);
    server.feed(&request(1, CHECK, &[]));
    server.feed(&request(2, ADD_WATCH, &[]));
    while let Ok(Some(_)) = server.next_frame() {}
    assert_eq!(encoded(&mut server, &reply(2, Ok(Reply::Done))).len(), 20);
    assert_eq!(server.outstanding(), 0);
}

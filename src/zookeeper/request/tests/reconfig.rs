//! Tests of reconfig: which error comes first.

use super::*;

const SETTLED: Standing = Standing::Settled { version: 5 };
const ROOT: &str = "/zookeeper/config";

fn leader() -> Leader {
    let mut leader = Leader::new();
    leader.config.reconfig_enabled = true;
    leader.ids.push(Id::new("super", ""));
    leader
}

fn reconfig(leader: &mut Leader, session: SessionId, from: i64, standing: Standing) -> Txn {
    planned(leader, session, from, standing, || Ok("server.1=a".into()))
}

fn planned(
    leader: &mut Leader,
    session: SessionId,
    from: i64,
    standing: Standing,
    plan: impl FnOnce() -> Result<String, ZkError>,
) -> Txn {
    let header = leader.header(session);
    let desk = Desk { db: &leader.db, sessions: &mut leader.sessions, config: &leader.config };
    let asker = Asker { owner: ZK_1, ids: &leader.ids };
    let logged = leader.preparer.prepare_reconfig(desk, asker, header, from, standing, plan);
    leader.proposed.push(logged.clone());
    leader.log.push(logged.clone());
    logged.txn
}

/// "ReconfigDisabled; session; standalone: Unimplemented; ReconfigInProgress; BadVersion … BadArguments …
/// NewConfigNoQuorum … WRITE on `/zookeeper/config`: NoAuth"
#[test]
fn errors_come_in_the_order_of_the_real_server() {
    let stranger = SessionId(0xdead);
    let mut disabled = leader();
    disabled.config.reconfig_enabled = false;
    let error = |txn| match txn {
        Txn::Error(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(reconfig(&mut disabled, stranger, 4, Standing::Standalone)), ZkError::ReconfigDisabled);
    let mut leader = leader();
    leader.ids.pop();
    for (session, from, standing, expected) in [
        (stranger, 4, Standing::Standalone, ZkError::SessionExpired),
        (A, 4, Standing::Standalone, ZkError::Unimplemented),
        (A, 4, Standing::InProgress, ZkError::ReconfigInProgress),
        (A, 4, SETTLED, ZkError::BadVersion),
        (A, 5, SETTLED, ZkError::NoAuth),
        (A, -1, SETTLED, ZkError::NoAuth),
    ] {
        assert_eq!(error(reconfig(&mut leader, session, from, standing)), expected);
    }
    let wrong = planned(&mut leader, A, -1, SETTLED, || Err(ZkError::NewConfigNoQuorum));
    assert_eq!(error(wrong), ZkError::NewConfigNoQuorum, "before NoAuth");
    let early = planned(&mut leader, A, 4, SETTLED, || panic!("nobody asks for the plan of a wrong version"));
    assert_eq!(error(early), ZkError::BadVersion);
}

/// The recording `reconfig_disabled` of a 3.8.0 server; a standalone one that allows it cannot do it.
#[test]
fn reconfig_as_any_write_is_answered_as_standalone() {
    let op = Op::Reconfig { joining: None, leaving: Some("1".into()), members: None, from_config: -1 };
    let mut leader = leader();
    assert_eq!(leader.write(A, &op), Err(ZkError::Unimplemented));
    leader.config.reconfig_enabled = false;
    assert_eq!(leader.write(A, &op), Err(ZkError::ReconfigDisabled));
}

#[test]
fn reconfigured_ensemble_is_what_the_node_says() {
    let mut leader = leader();
    leader.db.init_config("server.1=a\nversion=0", Zxid(0));
    assert_eq!(leader.stat(ROOT).version, -1);
    reconfig(&mut leader, A, 5, SETTLED);
    let Ok(Reply::Data { data, stat }) = leader.apply_all().unwrap().result else { panic!("it has data") };
    assert_eq!(data.as_deref(), Some(b"server.1=a".as_slice()));
    assert_eq!((stat.version, stat.mzxid, stat.aversion), (-1, leader.db.last_processed(), -1));
    leader.db.init_config("of an older file", Zxid(1));
    assert_eq!(leader.stat(ROOT), stat);
}

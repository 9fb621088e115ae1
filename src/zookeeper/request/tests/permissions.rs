//! Tests of permissions: which right each write needs, on which node, and which errors come before.

use super::*;
use crate::zookeeper::wire::{Acl, AclEntry, perms};

fn world(perms: i32) -> Acl {
    Acl::new([AclEntry { perms, id: Id::new("world", "anyone") }])
}

fn create_with(path: &str, acl: Acl) -> Op {
    let Op::Create { path, data, mode, .. } = create(path, Persistent) else { unreachable!() };
    Op::Create { path, data, acl, mode }
}

fn set_acl(path: &str, acl: Acl, version: i32) -> Op {
    Op::SetAcl { path: path.into(), acl, version }
}

/// A leader with `/n`, where everybody may do all but this.
fn without(perm: i32) -> Leader {
    let mut leader = Leader::new();
    leader.write(A, &create_with("/n", world(perms::ALL & !perm))).unwrap();
    leader
}

/// CREATE and DELETE are bits of the parent, the others of the node; all come before the version.
#[test]
fn each_write_needs_its_right_and_no_other() {
    let child = |op: fn(&str) -> Op| move || op("/n/k");
    let writes: [(i32, Box<dyn Fn() -> Op>); 5] = [
        (perms::CREATE, Box::new(child(|path| create(path, Persistent)))),
        (perms::DELETE, Box::new(child(|path| delete(path, 7)))),
        (perms::WRITE, Box::new(|| set("/n", 7))),
        (perms::READ, Box::new(|| Op::Multi(vec![check("/n", 7)]))),
        (perms::ADMIN, Box::new(|| set_acl("/n", Acl::open(), 7))),
    ];
    for (perm, write) in &writes {
        for (other, _) in &writes {
            let mut leader = without(*other);
            let denied = match leader.propose(A, &write()) {
                Txn::Multi(txns) => txns == [Txn::Error(ZkError::NoAuth)],
                txn => txn == Txn::Error(ZkError::NoAuth),
            };
            assert_eq!(denied, perm == other, "{:?} without {other}", write());
        }
    }
}

/// "3. delete and create check the ACL of the parent, before the node is looked up."
#[test]
fn missing_right_on_the_parent_hides_whether_the_node_is_there() {
    let mut leader = without(perms::CREATE | perms::DELETE);
    assert_eq!(leader.made("/n/\u{1}", Persistent), Err(ZkError::NoAuth));
    assert_eq!(leader.write(A, &delete("/n/nope", -1)), Err(ZkError::NoAuth));
    assert_eq!(leader.made("/nope/k", Persistent), Err(ZkError::NoNode));
}

/// "ACL bad: InvalidACL; parent missing: NoNode"
#[test]
fn bad_list_comes_after_the_form_of_the_path_and_before_the_parent() {
    let mut leader = Leader::new();
    for (path, error) in [("bad", ZkError::BadArguments), ("/nope/k", ZkError::InvalidAcl)] {
        assert_eq!(leader.write(A, &create_with(path, Acl::new([]))), Err(error), "{path}");
    }
}

/// The recording `acl_set_get` of a 3.8.0 server.
#[test]
fn set_acl_answers_bad_path_then_bad_list_then_no_node_then_bad_version() {
    let mut leader = leader_with(&["/n"]);
    let before = leader.stat("/n");
    let home = AclEntry { perms: perms::ALL, id: Id::new("ip", "127.0.0.1") };
    let list = Acl::new([AclEntry { perms: perms::READ, id: Id::new("world", "anyone") }, home]);
    let expected = Stat { aversion: 1, ..before };
    assert_eq!(leader.write(A, &set_acl("/n", list.clone(), -1)), Ok(Reply::Stat(expected)));
    assert_eq!(leader.db.node("/n").unwrap().acl, list);
    let empty = || Acl::new([]);
    for (path, acl, version, error) in [
        ("/n", Acl::open(), 0, ZkError::BadVersion),
        ("/n", empty(), 1, ZkError::InvalidAcl),
        ("/nope", empty(), -1, ZkError::InvalidAcl),
        ("/nope", Acl::open(), -1, ZkError::NoNode),
        ("bad", empty(), -1, ZkError::BadArguments),
        ("/n", Acl::creator(), -1, ZkError::InvalidAcl),
        ("/n", empty(), 99, ZkError::InvalidAcl),
    ] {
        assert_eq!(leader.write(A, &set_acl(path, acl, version)), Err(error), "{path} {version}");
    }
    let expected = Stat { aversion: 2, ..before };
    assert_eq!(leader.write(A, &set_acl("/n", Acl::open(), 1)), Ok(Reply::Stat(expected)));
}

/// A change record takes the new aversion of a setACL and keeps the old list (`PrepRequestProcessor.java`, seen
/// on a real 3.8.0 server).
#[test]
fn outstanding_list_does_not_decide_and_creator_is_expanded() {
    let mut leader = leader_with(&["/n"]);
    leader.ids.push(Id::new("digest", "u:h"));
    let Txn::SetAcl { acl, .. } = leader.propose(A, &set_acl("/n", Acl::creator(), 0)) else {
        panic!("an open node lets everybody set its list")
    };
    assert_eq!(acl, Acl::new([AclEntry { perms: perms::ALL, id: Id::new("digest", "u:h") }]));
    leader.ids.pop();
    assert_ne!(leader.propose(A, &set("/n", -1)), Txn::Error(ZkError::NoAuth));
    assert_eq!(leader.propose(A, &set_acl("/n", Acl::open(), 0)), Txn::Error(ZkError::BadVersion));
    leader.apply_all();
    assert_eq!(leader.propose(A, &set("/n", -1)), Txn::Error(ZkError::NoAuth));
    leader.ids.push(Id::new("super", ""));
    assert_ne!(leader.propose(A, &set("/n", -1)), Txn::Error(ZkError::NoAuth));
}

/// Lists are not inherited.
#[test]
fn child_has_the_list_it_was_made_with() {
    let mut leader = without(perms::WRITE);
    leader.made("/n/k", Persistent).unwrap();
    assert!(leader.write(A, &set("/n/k", -1)).is_ok());
    assert_eq!(leader.write(A, &delete("/zookeeper/config", -1)), Err(ZkError::BadArguments));
    assert_eq!(leader.write(A, &set("/zookeeper/config", -1)), Err(ZkError::NoAuth));
}

/// Seen on a 3.8.0 server: what is outstanding of the root itself is not seen of it as a parent.
#[test]
fn new_list_of_the_root_holds_for_its_children_once_committed() {
    let mut leader = Leader::new();
    leader.propose(A, &set_acl("/", Acl::read_only(), -1));
    assert_ne!(leader.propose(A, &create("/early", Persistent)), Txn::Error(ZkError::NoAuth));
    leader.apply_all();
    assert_eq!(leader.made("/late", Persistent), Err(ZkError::NoAuth));
}

//! One million znodes fit in 1 GB, also while a snapshot of them is taken or read.

use shardarium::{
    name::{SessionId, Zxid},
    zookeeper::{
        log::{read_snapshot, write_snapshot},
        tree::Database,
        txn::{Lifetime, LoggedTxn, Txn, TxnHeader},
        wire::Acl,
    },
};

const GIGABYTE: u64 = 1_000_000_000;

/// A thousand directories of a thousand nodes with 100 bytes each.
fn million() -> Database {
    let mut db = Database::default();
    let mut zxid = Zxid(0);
    let mut create = |path: String, parent_cversion: i32| {
        zxid.0 += 1;
        let header = TxnHeader { session: SessionId(1), xid: 1, zxid, wall_ms: 1_800_000_000_000 };
        let (data, acl, lifetime) = (Some([7; 100].into()), Acl::open(), Lifetime::Persistent);
        let txn = Txn::Create { path, data, acl, lifetime, parent_cversion };
        db.apply(&LoggedTxn { header, txn }).result.expect("the parent is there, the node is not");
    };
    for directory in 0..1_000 {
        create(format!("/directory-{directory:06}"), directory + 1);
        for node in 0..1_000 {
            create(format!("/directory-{directory:06}/node-{node:010}"), node + 1);
        }
    }
    db
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let value =
        status.lines().find_map(|text| text.strip_prefix(line)?.strip_suffix("kB")).expect("it is there");
    value.trim().parse::<u64>().expect("it is a number") * 1_024
}

#[test]
#[ignore = "takes a minute without optimisation; run alone: cargo test --release --test million -- --ignored"]
fn million_znodes_and_a_snapshot_of_them_fit_in_a_gigabyte() {
    let db = million();
    assert_eq!(db.inspect().1, 1_001_004);
    let tree = memory("VmRSS:");
    let snapshot = write_snapshot(&db);
    drop(db);
    let back = read_snapshot(&snapshot).expect("it was just written");
    assert_eq!(back.inspect().1, 1_001_004);
    let peak = memory("VmHWM:");
    println!("tree {} MB, snapshot {} MB, peak {} MB", tree >> 20, snapshot.len() >> 20, peak >> 20);
    assert!(peak < GIGABYTE, "{peak}");
}

//! Words — decides which number on the wire has which name in a recording. It never asks the crate: the numbers
//! are ZooKeeper's (`ZooDefs.java`, `KeeperException.java`, `Watcher.java`).

/// Op codes.
const OPS: &[(&str, i32)] = &[
    ("notification", 0),
    ("create", 1),
    ("delete", 2),
    ("exists", 3),
    ("get", 4),
    ("set", 5),
    ("getACL", 6),
    ("setACL", 7),
    ("ls", 8),
    ("sync", 9),
    ("ping", 11),
    ("ls2", 12),
    ("check", 13),
    ("multi", 14),
    ("create2", 15),
    ("reconfig", 16),
    ("checkWatches", 17),
    ("removeWatches", 18),
    ("createContainer", 19),
    ("deleteContainer", 20),
    ("createTTL", 21),
    ("multiRead", 22),
    ("auth", 100),
    ("setWatches", 101),
    ("sasl", 102),
    ("getEphemerals", 103),
    ("countChildren", 104),
    ("setWatches2", 105),
    ("addWatch", 106),
    ("whoami", 107),
    ("createSession", -10),
    ("close", -11),
    ("error", -1),
];

const ERRORS: &[(i32, &str)] = &[
    (0, "Ok"),
    (-1, "SystemError"),
    (-2, "RuntimeInconsistency"),
    (-3, "DataInconsistency"),
    (-4, "ConnectionLoss"),
    (-5, "MarshallingError"),
    (-6, "Unimplemented"),
    (-7, "OperationTimeout"),
    (-8, "BadArguments"),
    (-12, "UnknownSession"),
    (-13, "NewConfigNoQuorum"),
    (-14, "ReconfigInProgress"),
    (-100, "APIError"),
    (-101, "NoNode"),
    (-102, "NoAuth"),
    (-103, "BadVersion"),
    (-108, "NoChildrenForEphemerals"),
    (-110, "NodeExists"),
    (-111, "NotEmpty"),
    (-112, "SessionExpired"),
    (-113, "InvalidCallback"),
    (-114, "InvalidACL"),
    (-115, "AuthFailed"),
    (-118, "SessionMoved"),
    (-119, "NotReadOnly"),
    (-120, "EphemeralOnLocalSession"),
    (-121, "NoWatcher"),
    (-122, "RequestTimeout"),
    (-123, "ReconfigDisabled"),
    (-124, "SessionClosedRequireSaslAuth"),
    (-125, "QuotaExceeded"),
    (-127, "ThrottledOp"),
];

const EVENTS: &[(i32, &str)] = &[
    (-1, "None"),
    (1, "NodeCreated"),
    (2, "NodeDeleted"),
    (3, "NodeDataChanged"),
    (4, "NodeChildrenChanged"),
    (5, "DataWatchRemoved"),
    (6, "ChildWatchRemoved"),
    (7, "PersistentWatchRemoved"),
];

const STATES: &[(i32, &str)] = &[
    (-112, "Expired"),
    (-110, "Closed"),
    (0, "Disconnected"),
    (3, "SyncConnected"),
    (4, "AuthFailed"),
    (5, "ConnectedReadOnly"),
    (6, "SaslAuthenticated"),
];

const MODES: &[(&str, i32)] = &[("p", 0), ("e", 1), ("ps", 2), ("es", 3), ("c", 4), ("t", 5), ("ts", 6)];

fn number(table: &[(&str, i32)], word: &str) -> Option<i32> {
    table.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

fn word(table: &[(i32, &'static str)], number: i32) -> Option<&'static str> {
    table.iter().find(|(code, _)| *code == number).map(|(_, name)| *name)
}

/// The op code of an operation.
pub(crate) fn op_code(name: &str) -> Option<i32> {
    number(OPS, name)
}

/// The operation of an op code.
pub(crate) fn op_name(code: i32) -> Option<&'static str> {
    OPS.iter().find(|(_, number)| *number == code).map(|(name, _)| *name)
}

/// The name of an error.
pub(crate) fn error_name(code: i32) -> &'static str {
    word(ERRORS, code).unwrap_or("?")
}

/// The name of an event's type.
pub(crate) fn event_name(number: i32) -> Option<&'static str> {
    word(EVENTS, number)
}

/// The name of an event's state.
pub(crate) fn state_name(number: i32) -> Option<&'static str> {
    word(STATES, number)
}

/// The flags of a create.
pub(crate) fn mode(name: &str) -> Option<i32> {
    number(MODES, name)
}

/// The xid that operations have of their own.
pub(crate) fn reserved_xid(op: &str) -> Option<i32> {
    match op {
        "ping" => Some(-2),
        "auth" => Some(-4),
        "setWatches" | "setWatches2" => Some(-8),
        _ => None,
    }
}

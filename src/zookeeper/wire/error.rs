//! Errors — decides the names and numbers of what can go wrong with a request. It never decides when.

use serde::{Deserialize, Serialize};

/// ZooKeeper's error codes (`KeeperException.Code`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error,
)]
#[allow(missing_docs, reason = "the names are the definition")]
pub enum ZkError {
    #[error("SystemError")]
    SystemError = -1,
    #[error("RuntimeInconsistency")]
    RuntimeInconsistency = -2,
    #[error("DataInconsistency")]
    DataInconsistency = -3,
    /// Made by the client library: the connection went before the reply came.
    #[error("ConnectionLoss")]
    ConnectionLoss = -4,
    #[error("MarshallingError")]
    MarshallingError = -5,
    #[error("Unimplemented")]
    Unimplemented = -6,
    #[error("OperationTimeout")]
    OperationTimeout = -7,
    #[error("BadArguments")]
    BadArguments = -8,
    #[error("UnknownSession")]
    UnknownSession = -12,
    #[error("NewConfigNoQuorum")]
    NewConfigNoQuorum = -13,
    #[error("ReconfigInProgress")]
    ReconfigInProgress = -14,
    #[error("NoNode")]
    NoNode = -101,
    #[error("NoAuth")]
    NoAuth = -102,
    #[error("BadVersion")]
    BadVersion = -103,
    #[error("NoChildrenForEphemerals")]
    NoChildrenForEphemerals = -108,
    #[error("NodeExists")]
    NodeExists = -110,
    #[error("NotEmpty")]
    NotEmpty = -111,
    #[error("SessionExpired")]
    SessionExpired = -112,
    #[error("InvalidCallback")]
    InvalidCallback = -113,
    #[error("InvalidACL")]
    InvalidAcl = -114,
    #[error("AuthFailed")]
    AuthFailed = -115,
    #[error("SessionMoved")]
    SessionMoved = -118,
    #[error("NotReadOnly")]
    NotReadOnly = -119,
    #[error("EphemeralOnLocalSession")]
    EphemeralOnLocalSession = -120,
    #[error("NoWatcher")]
    NoWatcher = -121,
    #[error("RequestTimeout")]
    RequestTimeout = -122,
    #[error("ReconfigDisabled")]
    ReconfigDisabled = -123,
    #[error("SessionClosedRequireSasl")]
    SessionClosedRequireSasl = -124,
    #[error("QuotaExceeded")]
    QuotaExceeded = -125,
    #[error("ThrottledOp")]
    ThrottledOp = -127,
}

impl ZkError {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The error of this number; none if ZooKeeper knows no such error.
    pub fn of(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.code() == code)
    }

    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::SystemError,
        Self::RuntimeInconsistency,
        Self::DataInconsistency,
        Self::ConnectionLoss,
        Self::MarshallingError,
        Self::Unimplemented,
        Self::OperationTimeout,
        Self::BadArguments,
        Self::UnknownSession,
        Self::NewConfigNoQuorum,
        Self::ReconfigInProgress,
        Self::NoNode,
        Self::NoAuth,
        Self::BadVersion,
        Self::NoChildrenForEphemerals,
        Self::NodeExists,
        Self::NotEmpty,
        Self::SessionExpired,
        Self::InvalidCallback,
        Self::InvalidAcl,
        Self::AuthFailed,
        Self::SessionMoved,
        Self::NotReadOnly,
        Self::EphemeralOnLocalSession,
        Self::NoWatcher,
        Self::RequestTimeout,
        Self::ReconfigDisabled,
        Self::SessionClosedRequireSasl,
        Self::QuotaExceeded,
        Self::ThrottledOp,
    ];
}

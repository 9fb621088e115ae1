//! The client's end — decides which bytes the requests of a client are, and which frames the bytes of its
//! server. It never retries and never reconnects.

use std::collections::VecDeque;

use super::{
    codes::*,
    frames::{Frames, Violation},
    input::{Input, Read},
    output::Output,
    reply::{NOTIFICATION_XID, change_number},
    utter,
};
use crate::{
    name::{SessionId, Zxid},
    zookeeper::wire::{
        AUTH_XID, Acl, AclEntry, ClientFrame, Id, Reply, ServerFrame, Stat, WatchChange, WatchEvent, ZkError,
    },
};

/// The jute codec of one connection at its client: the other half of [`ServerCodec`](super::ServerCodec).
#[derive(Debug)]
pub struct ClientCodec {
    frames: Frames,
    is_connected: bool,
    /// Op codes of requests that are not answered.
    asked: VecDeque<(i32, i32)>,
}

impl Default for ClientCodec {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientCodec {
    /// For a fresh connection. Frames of a server may be as long as they like.
    pub fn new() -> Self {
        Self { frames: Frames::new(i32::MAX as u32), is_connected: false, asked: VecDeque::new() }
    }

    /// Appends what the client says to `bytes`.
    pub fn encode(&mut self, frame: &ClientFrame, bytes: &mut Vec<u8>) {
        let mut out = Output::begin(bytes);
        match frame {
            ClientFrame::Connect { last_zxid_seen, timeout_ms, session, password, read_only } => {
                let timeout_ms = i32::try_from(*timeout_ms).unwrap_or(i32::MAX);
                out.int(0).long(last_zxid_seen.0 as i64).int(timeout_ms).long(session.0 as i64);
                out.buffer(Some(&password.to_be_bytes())).bool(*read_only);
            }
            ClientFrame::Request { xid, op } => {
                let code = utter::code(op);
                self.asked.push_back((*xid, code));
                utter::body(op, out.int(*xid).int(code));
            }
        }
        out.end();
    }

    /// Takes in bytes that the server sent.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.frames.feed(bytes);
    }

    /// The next frame, once it is whole. What the wire leaves out is filled in: a Stat that was not sent is
    /// all zero.
    ///
    /// # Errors
    ///
    /// What came is no frame of a server.
    pub fn next_frame(&mut self) -> Result<Option<ServerFrame>, Violation> {
        let Some(record) = self.frames.next()? else { return Ok(None) };
        let mut record = Input::new(record);
        let frame = if self.is_connected {
            message(&mut record, &mut self.asked)
        } else {
            self.is_connected = true;
            connected(&mut record)
        };
        frame.map(Some).map_err(|_| Violation::Record)
    }
}

fn connected(record: &mut Input<'_>) -> Read<ServerFrame> {
    let (_protocol, timeout_ms) = (record.int()?, record.int()?.max(0) as u64);
    let session = SessionId(record.long()? as u64);
    let password = record.buffer()?.and_then(|bytes| bytes.try_into().ok());
    let password = u128::from_be_bytes(password.ok_or(ZkError::MarshallingError)?);
    Ok(ServerFrame::Connected { timeout_ms, session, password, read_only: record.bool().unwrap_or(false) })
}

fn message(record: &mut Input<'_>, asked: &mut VecDeque<(i32, i32)>) -> Read<ServerFrame> {
    let (xid, zxid, error) = (record.int()?, Zxid(record.long()? as u64), record.int()?);
    if xid == NOTIFICATION_XID {
        let (number, _state, path) = (record.int()?, record.int()?, record.text()?);
        return Ok(ServerFrame::Notification { event: WatchEvent { path, change: change(number)? }, zxid });
    }
    let code = answered(xid, asked);
    let result = match error {
        0 => Ok(reply(code, record)?),
        number => Err(ZkError::of(number).ok_or(ZkError::MarshallingError)?),
    };
    Ok(ServerFrame::Reply { xid, zxid, result })
}

/// The op code that was sent under this xid. An auth packet is answered out of turn.
fn answered(xid: i32, asked: &mut VecDeque<(i32, i32)>) -> i32 {
    let Some(at) = asked.iter().position(|(asked, _)| *asked == xid) else { return PING };
    let (_, code) = asked[at];
    if xid == AUTH_XID {
        asked.remove(at);
    } else {
        let is_auth = |(_, code): &(i32, i32)| *code == AUTH;
        let waiting: VecDeque<_> = asked.drain(..=at).filter(is_auth).collect();
        waiting.into_iter().rev().for_each(|auth| asked.push_front(auth));
    }
    code
}

fn change(number: i32) -> Read<WatchChange> {
    let all = [
        WatchChange::NodeCreated,
        WatchChange::NodeDeleted,
        WatchChange::NodeDataChanged,
        WatchChange::NodeChildrenChanged,
    ];
    all.into_iter().find(|change| change_number(*change) == number).ok_or(ZkError::MarshallingError)
}

fn reply(code: i32, record: &mut Input<'_>) -> Read<Reply> {
    Ok(match code {
        CREATE => Reply::Created { path: record.text()?, stat: Stat::default() },
        CREATE_2 | CREATE_CONTAINER | CREATE_TTL => {
            Reply::Created { path: record.text()?, stat: stat(record)? }
        }
        EXISTS | SET_DATA | SET_ACL => Reply::Stat(stat(record)?),
        GET_DATA | RECONFIG => Reply::Data { data: record.buffer()?.map(Into::into), stat: stat(record)? },
        GET_CHILDREN => Reply::Children { names: texts(record)?, stat: Stat::default() },
        GET_CHILDREN_2 => Reply::Children { names: texts(record)?, stat: stat(record)? },
        GET_ACL => Reply::Acl { acl: acl(record)?, stat: stat(record)? },
        GET_ALL_CHILDREN_NUMBER => Reply::Count(record.int()?),
        GET_EPHEMERALS => Reply::Paths(texts(record)?),
        WHO_AM_I => Reply::Ids(record.vector(id)?.unwrap_or_default()),
        SYNC => Reply::Synced { path: record.string()?.unwrap_or_default() },
        MULTI | MULTI_READ => Reply::Multi(multi(record)?),
        _ => Reply::Done,
    })
}

fn stat(record: &mut Input<'_>) -> Read<Stat> {
    let (czxid, mzxid) = (Zxid(record.long()? as u64), Zxid(record.long()? as u64));
    let (ctime, mtime) = (record.long()?, record.long()?);
    let (version, cversion, aversion) = (record.int()?, record.int()?, record.int()?);
    let ephemeral_owner = SessionId(record.long()? as u64);
    let (data_length, num_children) = (record.int()?, record.int()?);
    let pzxid = Zxid(record.long()? as u64);
    Ok(Stat {
        czxid,
        mzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        ephemeral_owner,
        data_length,
        num_children,
        pzxid,
    })
}

fn texts(record: &mut Input<'_>) -> Read<Vec<String>> {
    Ok(record.vector(Input::text)?.unwrap_or_default())
}

fn id(record: &mut Input<'_>) -> Read<Id> {
    Ok(Id { scheme: record.text()?, id: record.text()? })
}

fn acl(record: &mut Input<'_>) -> Read<Acl> {
    let entry = |record: &mut Input<'_>| Ok(AclEntry { perms: record.int()?, id: id(record)? });
    Ok(Acl::new(record.vector(entry)?.unwrap_or_default()))
}

fn multi(record: &mut Input<'_>) -> Read<Vec<Result<Reply, ZkError>>> {
    let mut results = Vec::new();
    loop {
        let (kind, is_end, _) = (record.int()?, record.bool()?, record.int()?);
        if is_end {
            return Ok(results);
        }
        results.push(match kind {
            ERROR => match record.int()? {
                0 => Ok(Reply::Done),
                number => Err(ZkError::of(number).ok_or(ZkError::MarshallingError)?),
            },
            kind => Ok(reply(kind, record)?),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_is_answered_out_of_turn_and_others_in_order() {
        let mut asked = VecDeque::from([(1, EXISTS), (AUTH_XID, AUTH), (2, SYNC), (3, MULTI)]);
        assert_eq!(answered(2, &mut asked), SYNC);
        assert_eq!(asked, [(AUTH_XID, AUTH), (3, MULTI)]);
        assert_eq!(answered(AUTH_XID, &mut asked), AUTH);
        assert_eq!(answered(3, &mut asked), MULTI);
    }
}

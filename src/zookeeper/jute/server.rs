//! The server's end — decides which frames the bytes of a client are, and which bytes the frames of its
//! server. It never answers by itself.

use std::collections::VecDeque;

use super::{
    codes::{AUTH, PING},
    frames::{Frames, Violation},
    input::{Input, Read},
    output::Output,
    reply::{self, Shape},
    request::request,
};
use crate::{
    name::{SessionId, Zxid},
    zookeeper::{
        session,
        wire::{ClientFrame, Compat, EnsembleConfig, Op, PING_XID, Password, ServerFrame},
    },
};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The connect request has not come.
    Greeting,
    /// It is not answered; what comes behind it waits ("We don't want to receive any packets until we are
    /// sure that the session is setup", `ZooKeeperServer.java`).
    Connecting,
    /// Requests may come.
    Open,
}

/// The jute codec of one connection at its server. Bytes go in by [`feed`](Self::feed), frames come out by
/// [`next_frame`](Self::next_frame); what the server says goes through [`encode`](Self::encode), in order.
#[derive(Debug)]
pub struct ServerCodec {
    frames: Frames,
    stage: Stage,
    compat: Compat,
    /// Whether the client told whether a read-only server will do; one that did not is not told either.
    knows_read_only: bool,
    /// Requests that are not answered, with the shapes of their replies.
    asked: VecDeque<(i32, Shape)>,
    /// Auth packets that are not answered: they are taken out of turn.
    auths: VecDeque<i32>,
}

impl ServerCodec {
    /// For a fresh connection to a server with these settings.
    pub fn new(config: &EnsembleConfig) -> Self {
        Self {
            frames: Frames::new(config.max_buffer),
            stage: Stage::Greeting,
            compat: config.compat,
            knows_read_only: false,
            asked: VecDeque::new(),
            auths: VecDeque::new(),
        }
    }

    /// Takes in bytes that the client sent.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.frames.feed(bytes);
    }

    /// How many requests were taken out and not answered.
    pub fn outstanding(&self) -> usize {
        self.asked.len() + self.auths.len()
    }

    /// Whether bytes came that were not taken out as frames.
    pub fn has_waiting(&self) -> bool {
        self.frames.has_waiting()
    }

    /// The next frame, once it is whole and its turn has come.
    ///
    /// # Errors
    ///
    /// The connection is to be closed without a word.
    pub fn next_frame(&mut self) -> Result<Option<ClientFrame>, Violation> {
        if self.stage == Stage::Connecting {
            return Ok(None);
        }
        let Some(record) = self.frames.next()? else { return Ok(None) };
        let mut record = Input::new(record);
        if self.stage == Stage::Greeting {
            let (frame, knows_read_only) = connect(&mut record).map_err(|_| Violation::Record)?;
            self.stage = Stage::Connecting;
            self.knows_read_only = knows_read_only;
            return Ok(Some(frame));
        }
        let (xid, code) = header(&mut record).map_err(|_| Violation::Record)?;
        let (op, shape) = request(code, &mut record, self.compat);
        let xid = if code == PING { PING_XID } else { xid };
        match (code, &op) {
            (AUTH, Op::Malformed { .. }) => return Err(Violation::Record),
            (AUTH, _) => self.auths.push_back(xid),
            _ => self.asked.push_back((xid, shape)),
        }
        Ok(Some(ClientFrame::Request { xid, op }))
    }

    /// Appends what the server says to `bytes`.
    pub fn encode(&mut self, frame: &ServerFrame, bytes: &mut Vec<u8>) {
        match frame {
            ServerFrame::Connected { timeout_ms, session, password, read_only } => {
                self.stage = Stage::Open;
                let mut out = Output::begin(bytes);
                let timeout_ms = i32::try_from(*timeout_ms).unwrap_or(i32::MAX);
                out.int(0).int(timeout_ms).long(session.0 as i64).buffer(Some(&password.to_be_bytes()));
                if self.knows_read_only {
                    out.bool(*read_only);
                }
                out.end();
            }
            ServerFrame::Reply { xid, zxid, .. } => {
                let shape = self.shape(*xid, *zxid);
                reply::write(frame, &shape, bytes);
            }
            ServerFrame::Notification { .. } => reply::write(frame, &Shape::Plain, bytes),
        }
    }

    /// What was asked under this xid. The reply to an auth packet has zxid 0; all others come in order, so
    /// that whatever stands before the one that is answered never will be.
    fn shape(&mut self, xid: i32, zxid: Zxid) -> Shape {
        if zxid == Zxid(0) && self.auths.front() == Some(&xid) {
            self.auths.pop_front();
            return Shape::Plain;
        }
        match self.asked.iter().position(|(asked, _)| *asked == xid) {
            Some(at) => self.asked.drain(..=at).next_back().expect("one was found").1,
            None => Shape::Plain,
        }
    }
}

fn header(record: &mut Input<'_>) -> Read<(i32, i32)> {
    Ok((record.int()?, record.int()?))
}

/// `ConnectRequest`, and whether it ends with the readOnly byte.
fn connect(record: &mut Input<'_>) -> Read<(ClientFrame, bool)> {
    let (_protocol, last_zxid, timeout) = (record.int()?, record.long()?, record.int()?);
    let (session, proof) = (SessionId(record.long()? as u64), record.buffer()?);
    let read_only = record.bool().ok();
    let frame = ClientFrame::Connect {
        last_zxid_seen: Zxid(last_zxid.max(0) as u64),
        timeout_ms: timeout.max(0) as u64,
        session,
        password: password(session, proof),
        read_only: read_only.unwrap_or(false),
    };
    Ok((frame, read_only.is_some()))
}

/// Anything but 16 bytes is never the right one.
fn password(session: SessionId, proof: Option<&[u8]>) -> Password {
    let bytes = proof.and_then(|proof| proof.try_into().ok());
    bytes.map_or(!session::password(session), Password::from_be_bytes)
}

//! Session — decides what a script's client session says and waits for. It never compares.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shardarium::core::ConnId;

use crate::{
    answer::{Event, Frame},
    ensemble::Ensemble,
    jute::{Reader, Writer},
    player::Stop,
    recording::{Drain, Op},
    request::{body, code},
    symbols::Symbols,
    words::{op_code, reserved_xid},
};

/// How long the recorder waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The recorder's socket wakes up so often.
const NAP: Duration = Duration::from_secs(1);

/// What sessions share: the servers and the symbols.
pub(crate) struct Stage {
    pub(crate) ensemble: Ensemble,
    pub(crate) symbols: Symbols,
    pub(crate) drain: Drain,
}

/// One named client session; it holds at most one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) conn: Option<ConnId>,
    pub(crate) id: i64,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) server: usize,
    /// The last zxid in a reply's header.
    pub(crate) last_zxid: i64,
    /// What came and is not shown yet.
    pub(crate) events: Vec<Event>,
    xid: i32,
    patience: Duration,
}

/// What a client says when it connects.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) timeout: i32,
    pub(crate) last_zxid: i64,
    pub(crate) session: i64,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) read_only: bool,
    /// An old client does not send the readOnly byte.
    pub(crate) is_old: bool,
}

/// The answer to a handshake.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) shown: Map<String, Value>,
    pub(crate) timeout: i32,
    pub(crate) session: i64,
    pub(crate) password: Option<Vec<u8>>,
}

impl Session {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            conn: None,
            id: 0,
            password: Some(vec![0; 16]),
            server: 0,
            last_zxid: 0,
            events: Vec::new(),
            xid: 0,
            patience: PATIENCE,
        }
    }

    /// Closes its end of the connection.
    pub(crate) fn shut(&mut self, stage: &mut Stage) {
        if let Some(conn) = self.conn.take() {
            stage.ensemble.close(conn);
        }
    }

    /// Opens a connection; one that is still open closes after that.
    pub(crate) async fn dial(&mut self, server: usize, stage: &mut Stage) -> Result<(), Stop> {
        self.server = server;
        let conn = stage.ensemble.dial(server).await?;
        self.shut(stage);
        self.conn = Some(conn);
        self.patience = PATIENCE;
        Ok(())
    }

    pub(crate) fn send(&mut self, payload: &[u8], stage: &mut Stage) -> Result<(), Stop> {
        let conn = self.conn.ok_or(Stop::Closed)?;
        stage.ensemble.send(conn, &Writer::default().buffer(Some(payload)).0);
        Ok(())
    }

    async fn take(&mut self, count: usize, stage: &mut Stage) -> Result<Vec<u8>, Stop> {
        let Some(conn) = self.conn else {
            return Err(Stop::Fault("reads from a connection that it has closed".into()));
        };
        let nap = self.patience.min(NAP).max(Duration::from_millis(1));
        let naps = self.patience.as_millis().div_ceil(nap.as_millis());
        let taken = stage.ensemble.take(conn, count, nap * naps as u32).await;
        if let Err(Stop::Closed) = taken {
            self.shut(stage);
        }
        taken
    }

    /// The next frame, whatever it is.
    pub(crate) async fn frame(&mut self, stage: &mut Stage) -> Result<Vec<u8>, Stop> {
        let length = Reader::new(self.take(4, stage).await?).int()?;
        self.take(usize::try_from(length).unwrap_or_default(), stage).await
    }

    /// The next event or reply.
    async fn next(&mut self, stage: &mut Stage) -> Result<Frame, Stop> {
        let frame = Frame::read(self.frame(stage).await?)?;
        if let Frame::Reply(reply) = &frame
            && reply.zxid > 0
        {
            self.last_zxid = reply.zxid;
        }
        Ok(frame)
    }

    pub(crate) async fn handshake(&mut self, hello: &Hello, stage: &mut Stage) -> Result<Welcome, Stop> {
        let said = Writer::default().int(0).long(hello.last_zxid).int(hello.timeout).long(hello.session);
        let said = said.buffer(hello.password.as_deref());
        let said = if hello.is_old { said } else { said.bool(hello.read_only) };
        self.send(&said.0, stage)?;
        let mut answer = Reader::new(self.frame(stage).await?);
        let (proto, timeout, session) = (answer.int()?, answer.int()?, answer.long()?);
        let password = answer.buffer()?;
        let mut shown = Map::new();
        shown.insert("proto".into(), proto.into());
        shown.insert("timeout".into(), timeout.into());
        shown.insert("passwd_len".into(), password.as_ref().map_or(json!(-1), |bytes| bytes.len().into()));
        let zeros = password.as_ref().map(|bytes| bytes.iter().all(|byte| *byte == 0));
        shown.insert("passwd_zero".into(), zeros.into());
        if answer.left() > 0 {
            shown.insert("readOnly".into(), answer.bool()?.into());
        }
        if answer.left() > 0 {
            shown.insert("trailing".into(), answer.left().into());
        }
        Ok(Welcome { shown, timeout, session, password })
    }

    /// Collects events that the server sent before now.
    pub(crate) async fn drain(&mut self, how: Drain, stage: &mut Stage) -> Result<(), Stop> {
        if self.conn.is_none() {
            return Ok(());
        }
        match self.drain_open(how, stage).await {
            Err(Stop::Closed) => Ok(()),
            Err(Stop::Silence) => Err(Stop::Fault(format!("{}: no answer to the drain", self.name))),
            other => other,
        }
    }

    async fn drain_open(&mut self, how: Drain, stage: &mut Stage) -> Result<(), Stop> {
        let (xid, said) = match how {
            Drain::Ping => (-2, Writer::default().int(-2).int(op_code("ping").expect("known"))),
            Drain::Sync => {
                self.xid += 1;
                let said = Writer::default().int(self.xid).int(op_code("sync").expect("known"));
                (self.xid, said.string(Some("/")))
            }
        };
        self.send(&said.0, stage)?;
        loop {
            match self.next(stage).await? {
                Frame::Event(event) => self.events.push(event),
                Frame::Reply(reply) if reply.xid == xid => return Ok(()),
                Frame::Reply(_) => {}
            }
        }
    }

    /// Asks one thing; `io_ms` limits the wait for a reply that may never come.
    pub(crate) async fn ask(&mut self, op: &Op, stage: &mut Stage) -> Result<Vec<Value>, Stop> {
        if let Some(ms) = op.int("io_ms") {
            self.patience = Duration::from_millis(ms.max(0) as u64);
        }
        let frames = self.ask_all(std::slice::from_ref(op), stage).await;
        self.patience = PATIENCE;
        frames
    }

    /// Sends all these back to back, then reads: results and events in the order they come.
    pub(crate) async fn ask_all(&mut self, ops: &[Op], stage: &mut Stage) -> Result<Vec<Value>, Stop> {
        let mut waiting = Vec::new();
        for op in ops {
            let xid = self.xid_of(op);
            let said = Writer::default().int(xid).int(code(op)?);
            let said = said.bytes(&body(op, &stage.symbols, self.last_zxid)?);
            match self.send(&said.0, stage) {
                Ok(()) => waiting.push((xid, op)),
                Err(_closed) => break,
            }
        }
        let mut frames = Vec::new();
        while !waiting.is_empty() {
            let names = || -> Vec<&str> { waiting.iter().map(|(_, op)| op.name()).collect() };
            match self.next(stage).await {
                Err(Stop::Closed) => {
                    frames.push(json!({ "closed": true, "unanswered": names() }));
                    break;
                }
                Err(Stop::Silence) => {
                    frames.push(json!({ "no_reply": names() }));
                    break;
                }
                Err(fault) => return Err(fault),
                Ok(Frame::Event(event)) => frames.push(json!({ "event": event.shown(&stage.symbols) })),
                Ok(Frame::Reply(reply)) => {
                    let Some(place) = waiting.iter().position(|(xid, _)| *xid == reply.xid) else {
                        frames.push(json!({ "unexpected_xid": reply.xid, "err": reply.err }));
                        continue;
                    };
                    if place != 0 {
                        frames.push(json!({ "out_of_order": true }));
                    }
                    let (_, op) = waiting.remove(place);
                    let mut shown = reply.shown(op, &mut stage.symbols)?;
                    if ops.len() > 1 {
                        shown.insert("op".into(), op.name().into());
                    }
                    frames.push(shown.into());
                }
            }
        }
        Ok(frames)
    }

    fn xid_of(&mut self, op: &Op) -> i32 {
        let given = op.int("xid").and_then(|xid| i32::try_from(xid).ok());
        given.or(reserved_xid(op.name())).unwrap_or_else(|| {
            self.xid += 1;
            self.xid
        })
    }
}

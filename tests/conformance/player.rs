//! Player — decides what each step of a script does, and what its result is. It never compares.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    ensemble::Ensemble,
    recording::{Drain, Op, Recording},
    session::{Hello, PATIENCE, Session, Stage},
    symbols::{Symbols, bytes_of},
};

/// Why nothing (more) was read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection is closed.
    Closed,
    /// Nothing came in time.
    Silence,
    /// What no recording can show: the script or the server is at fault.
    Fault(String),
}

/// What the recorder itself takes between two steps, at least.
const THINKING: Duration = Duration::from_millis(1);
/// A pause between two attempts to connect.
const RETRY: Duration = Duration::from_millis(200);
/// Sessions are kept alive so often while a script waits.
const ALIVE: Duration = Duration::from_millis(500);

/// A script being played.
struct Player {
    stage: Stage,
    /// Made the script's folder.
    setup: Session,
    /// In order of their first appearance.
    sessions: Vec<Session>,
}

/// Plays a script: the result of each step, up to the first that could not be played, and why it could not.
pub(crate) async fn play(recording: &Recording, ensemble: Ensemble) -> (Vec<Value>, Option<String>) {
    let stage = Stage { ensemble, symbols: Symbols::new(&recording.name), drain: recording.drain };
    let mut player = Player { stage, setup: Session::new("_setup"), sessions: Vec::new() };
    if let Err(stop) = player.set_up().await {
        return (Vec::new(), Some(format!("the setup: {stop:?}")));
    }
    let mut results = Vec::new();
    for op in &recording.steps {
        match player.step_and_collect(op).await {
            Ok(result) => results.push(Value::Object(result)),
            Err(stop) => return (results, Some(format!("{stop:?}"))),
        }
    }
    (results, None)
}

impl Player {
    /// Makes the script's folder, and waits until every server has it. There is a session on each server of
    /// several, as the recorder has them to wake servers up.
    async fn set_up(&mut self) -> Result<(), Stop> {
        self.setup.dial(0, &mut self.stage).await?;
        self.setup.handshake(&hello(40_000, 0), &mut self.stage).await?;
        let mut scouts = Vec::new();
        let servers = self.stage.ensemble.servers();
        for server in (0..servers).filter(|_| servers > 1) {
            let mut scout = Session::new(&format!("_t{server}"));
            scout.dial(server, &mut self.stage).await?;
            scout.handshake(&hello(40_000, 0), &mut self.stage).await?;
            scouts.push(scout);
        }
        let made = self.setup.ask(&Op::new("create", "$R"), &mut self.stage).await?;
        if made.last().and_then(|result| result.get("err")) != Some(&json!(0)) {
            return Err(Stop::Fault(format!("the script's folder cannot be made: {made:?}")));
        }
        self.stage.symbols.base = self.setup.last_zxid;
        for scout in &mut scouts {
            scout.drain(Drain::Sync, &mut self.stage).await?;
        }
        Ok(())
    }

    async fn step_and_collect(&mut self, op: &Op) -> Result<Map<String, Value>, Stop> {
        self.stage.ensemble.sleep(THINKING).await;
        self.setup.drain(Drain::Ping, &mut self.stage).await?;
        let result = self.step(op).await?;
        if op.name() == "ctl" || op.flag("nodrain") { Ok(result) } else { self.collect(op, result).await }
    }

    /// Adds what arrived on every open session.
    async fn collect(&mut self, op: &Op, mut result: Map<String, Value>) -> Result<Map<String, Value>, Stop> {
        let mut names: Vec<_> = self.sessions.iter().map(|session| session.name.clone()).collect();
        names.sort();
        let mut events = Map::new();
        let mut closed: Vec<String> = Vec::new();
        for name in names {
            let Self { stage, sessions, .. } = self;
            let session = sessions.iter_mut().find(|session| session.name == name).expect("listed");
            let was_open = session.conn.is_some();
            session.drain(stage.drain, stage).await?;
            if was_open && session.conn.is_none() {
                closed.push(name.clone());
            }
            let mut shown: Vec<_> =
                session.events.drain(..).map(|event| event.shown(&stage.symbols)).collect();
            if op.flag("unordered") {
                let key = |event: &Value| ["path", "type"].map(|key| event[key].as_str().map(str::to_owned));
                shown.sort_by_key(key);
            }
            if !shown.is_empty() {
                events.insert(name, shown.into());
            }
        }
        if !events.is_empty() {
            result.insert("events".into(), events.into());
        }
        if !closed.is_empty() {
            result.insert("server_closed".into(), closed.into());
        }
        Ok(result)
    }

    async fn step(&mut self, op: &Op) -> Result<Map<String, Value>, Stop> {
        match op.name() {
            "wait" => self.wait(op).await.map(|()| Map::new()),
            "ctl" => self.control(op).await.map(|()| Map::new()),
            "connect" | "reconnect" => self.connect(op).await,
            "drop" => {
                let (session, stage) = self.session(op)?;
                session.shut(stage);
                stage.ensemble.sleep(Duration::from_millis(50)).await;
                Ok(Map::new())
            }
            "rawframe" => self.raw_frame(op).await,
            "save" => {
                let (session, stage) = self.session(op)?;
                stage.symbols.save(op.text("as").unwrap_or_default(), session.last_zxid);
                Ok(Map::new())
            }
            _ => self.request(op).await,
        }
    }

    /// Waits, and keeps all sessions alive but those that are to be silent.
    async fn wait(&mut self, op: &Op) -> Result<(), Stop> {
        let silent = op.list("silent").unwrap_or_default();
        let mut left = Duration::from_millis(op.int("ms").unwrap_or_default().max(0) as u64);
        let end = self.stage.ensemble.now().0 + left.as_nanos() as u64;
        while !left.is_zero() {
            self.stage.ensemble.sleep(left.min(ALIVE)).await;
            let Self { stage, sessions, .. } = self;
            for session in sessions.iter_mut() {
                if !silent.iter().any(|name| name.as_str() == Some(&session.name)) {
                    session.drain(stage.drain, stage).await?;
                }
            }
            left = Duration::from_nanos(end.saturating_sub(self.stage.ensemble.now().0));
        }
        Ok(())
    }

    async fn control(&mut self, op: &Op) -> Result<(), Stop> {
        let number = op.int("server").and_then(|number| u16::try_from(number).ok());
        match (op.text("cmd"), number) {
            (Some("stop"), Some(number)) => self.stage.ensemble.stop(number).await,
            (Some("start"), Some(number)) => self.stage.ensemble.start_server(number),
            _ => return Err(Stop::Fault("ctl wants stop or start, and a server".into())),
        }
        Ok(())
    }

    /// The session that a step names.
    fn session(&mut self, op: &Op) -> Result<(&mut Session, &mut Stage), Stop> {
        let name = op.text("s").ok_or_else(|| Stop::Fault("a step names no session".into()))?;
        let found = self.sessions.iter_mut().find(|session| session.name == name);
        let session = found.ok_or_else(|| Stop::Fault(format!("nobody connected as `{name}`")))?;
        Ok((session, &mut self.stage))
    }

    /// The session that a step names, new if there was none.
    fn session_or_new(&mut self, op: &Op) -> Result<(&mut Session, &mut Stage), Stop> {
        let name = op.text("s").unwrap_or_default();
        if self.sessions.iter().all(|session| session.name != name) {
            self.sessions.push(Session::new(name));
        }
        self.session(op)
    }

    async fn connect(&mut self, op: &Op) -> Result<Map<String, Value>, Stop> {
        let name = self.session_or_new(op)?.0.name.clone();
        let source_name = op.text("session_of").unwrap_or(&name);
        let source = self.sessions.iter().find(|session| session.name == source_name);
        let source = source.ok_or_else(|| Stop::Fault(format!("`{source_name}` has no session to take")))?;
        let is_own = source.name == name;
        let last_seen = source.last_zxid;
        let said = self.hello_of(op, source)?;
        let (session, stage) = self.session(op)?;
        if !op.flag("keep_old") && is_own {
            session.shut(stage);
        }
        let server = op.int("server").map_or(session.server, |server| server.max(0) as usize);
        let mut tries = op.int("retry").unwrap_or(1);
        let welcome = loop {
            match attempt(session, server, &said, tries, stage).await {
                Ok(welcome) => break welcome,
                Err(Stop::Fault(fault)) => return Err(Stop::Fault(fault)),
                Err(_closed) if tries > 1 => stage.ensemble.sleep(RETRY).await,
                Err(_closed) => return Ok([("closed".to_owned(), true.into())].into_iter().collect()),
            }
            tries -= 1;
        };
        let mut shown = welcome.shown;
        if welcome.session == 0 {
            shown.insert("session".into(), "none".into());
            shown.extend(closes(session, stage).await?.map(|closed| ("closed".to_owned(), closed.into())));
            return Ok(shown);
        }
        let kind = match said.session {
            0 => "new",
            asked if asked == welcome.session => "same",
            _ => "different",
        };
        shown.insert("session".into(), kind.into());
        session.id = welcome.session;
        session.password = welcome.password;
        if !is_own {
            session.last_zxid = last_seen;
        }
        stage.symbols.own(welcome.session, &name);
        Ok(shown)
    }

    fn hello_of(&self, op: &Op, source: &Session) -> Result<Hello, Stop> {
        let is_new = op.name() == "connect";
        let (id, password) =
            if is_new { (0, Some(vec![0; 16])) } else { (source.id, source.password.clone()) };
        let last = if is_new { 0 } else { source.last_zxid };
        let last_zxid = match op.get("last") {
            None => last,
            given => self.stage.symbols.given_zxid(given, source.last_zxid)?,
        };
        let password = match op.text("passwd") {
            Some("wrong") => password.map(|bytes| bytes.into_iter().map(|byte| byte ^ 0x5A).collect()),
            Some("null") => None,
            Some("short") => password.map(|bytes| bytes.into_iter().take(4).collect()),
            _ => password,
        };
        Ok(Hello {
            timeout: op.int("timeout").unwrap_or(10_000) as i32,
            last_zxid,
            session: op.int("sid").unwrap_or(id),
            password,
            read_only: op.flag("ro"),
            is_old: op.flag("old"),
        })
    }

    /// Bytes on a fresh connection, without a handshake.
    async fn raw_frame(&mut self, op: &Op) -> Result<Map<String, Value>, Stop> {
        let (session, stage) = self.session_or_new(op)?;
        session.shut(stage);
        *session = Session::new(&session.name);
        session.dial(op.int("server").unwrap_or(0).max(0) as usize, stage).await?;
        let conn = session.conn.expect("just dialled");
        stage.ensemble.send(conn, &bytes_of(op.text("hex").unwrap_or_default())?);
        let (bytes, is_over) = stage.ensemble.take_all(conn, PATIENCE).await;
        session.shut(stage);
        let mut shown = Map::new();
        shown.insert("closed".into(), is_over.into());
        shown.insert("bytes".into(), bytes.len().into());
        if is_over {
            let text = || bytes.iter().take(80).map(|byte| char::from(*byte)).collect::<String>();
            shown.insert("text".into(), op.flag("text").then(text).into());
        }
        Ok(shown)
    }

    async fn request(&mut self, op: &Op) -> Result<Map<String, Value>, Stop> {
        let (session, stage) = self.session(op)?;
        let mut result = Map::new();
        if session.conn.is_none() {
            result.insert("closed".into(), true.into());
            result.insert("not_sent".into(), true.into());
            return Ok(result);
        }
        if op.name() == "pipeline" {
            let frames = session.ask_all(&op.ops(), stage).await?;
            result.insert("frames".into(), frames.into());
            return Ok(result);
        }
        let mut frames = session.ask(op, stage).await?;
        let Some(Value::Object(mut result)) = frames.pop() else {
            return Err(Stop::Fault("nothing was sent".into()));
        };
        let before: Vec<_> = frames.iter().filter_map(|frame| frame.get("event").cloned()).collect();
        if !before.is_empty() {
            result.insert("events_before_reply".into(), before.into());
        }
        for (flag, field) in [("nostat", "stat"), ("nodata", "data")] {
            if op.flag(flag) {
                result.remove(field);
            }
        }
        if op.name() == "close" {
            result.extend(
                closes(session, stage).await?.map(|closed| ("then_closed".to_owned(), closed.into())),
            );
        }
        Ok(result)
    }
}

/// A new session's greeting.
fn hello(timeout: i32, last_zxid: i64) -> Hello {
    let password = Some(vec![0; 16]);
    Hello { timeout, last_zxid, session: 0, password, read_only: false, is_old: false }
}

/// One attempt to connect. While more attempts are left a refusal counts as none.
async fn attempt(
    session: &mut Session,
    server: usize,
    hello: &Hello,
    tries: i64,
    stage: &mut Stage,
) -> Result<crate::session::Welcome, Stop> {
    session.dial(server, stage).await?;
    let welcome = session.handshake(hello, stage).await?;
    if welcome.timeout == 0 && tries > 1 { Err(Stop::Closed) } else { Ok(welcome) }
}

/// Whether the server closes the connection now; nothing if it sends a frame instead.
async fn closes(session: &mut Session, stage: &mut Stage) -> Result<Option<bool>, Stop> {
    match session.frame(stage).await {
        Ok(_) => Ok(None),
        Err(Stop::Closed) => Ok(Some(true)),
        Err(Stop::Silence) => Ok(Some(false)),
        Err(fault) => Err(fault),
    }
}

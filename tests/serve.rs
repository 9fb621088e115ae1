//! A served ensemble answers or closes whatever comes over the wire as a real server does, and goes on
//! serving others; orders break and mend it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use shardarium::{
    name::{SessionId, Zxid},
    zookeeper::{
        jute::ClientCodec,
        wire::{ClientFrame, CreateMode, Op, Reply, ServerFrame, ZkError},
    },
};

#[expect(clippy::disallowed_methods, reason = "a real server needs real time")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

// ---- a served ensemble ----

struct Served {
    process: Child,
    orders: ChildStdin,
    said: BufReader<std::process::ChildStdout>,
    addresses: Vec<SocketAddr>,
}

impl Served {
    fn new(servers: usize, options: &[&str]) -> Self {
        // A thousand connections at once, beside those of the other tests.
        rlimit::increase_nofile_limit(4_096).unwrap();
        let count = servers.to_string();
        let mut process = Command::new(env!("CARGO_BIN_EXE_shardarium"))
            .args(["serve", "--zookeeper", "127.0.0.1:0", "--tick", "200", "--servers", &count])
            .args(["--session-timeout-max", "60000", "--sync-limit", "15"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut served = Self { process, orders, said, addresses: Vec::new() };
        for _ in 0..servers {
            let line = served.line();
            served.addresses.push(line.rsplit(' ').next().unwrap().parse().expect("an address"));
        }
        served
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.said.read_line(&mut line).unwrap() > 0, "it has ended");
        line.trim_end().to_owned()
    }

    /// Gives an order; all lines of the answer.
    fn order(&mut self, order: &str) -> Vec<String> {
        writeln!(self.orders, "{order}").unwrap();
        let mut lines = vec![self.line()];
        while !lines.last().is_some_and(|line| line == "ok" || line.starts_with("error: ")) {
            lines.push(self.line());
        }
        lines
    }

    fn connection(&self) -> TcpStream {
        self.connection_to(0)
    }

    fn connection_to(&self, server: usize) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[server]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// A client with a session; retried while there is no leader.
    fn client(&self) -> Client {
        self.client_of(0)
    }

    fn client_of(&self, server: usize) -> Client {
        (0..100).find_map(|_| Client::connect(self.connection_to(server))).expect("a server that serves")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client with a session.
struct Client {
    stream: TcpStream,
    codec: ClientCodec,
    xid: i32,
}

impl Client {
    fn connect(stream: TcpStream) -> Option<Self> {
        let mut client = Self { stream, codec: ClientCodec::new(), xid: 0 };
        client.send(&ClientFrame::Connect {
            last_zxid_seen: Zxid(0),
            timeout_ms: 60_000,
            session: SessionId::NONE,
            password: 0,
            read_only: false,
        })?;
        match client.receive() {
            Some(ServerFrame::Connected { session, .. }) if session != SessionId::NONE => Some(client),
            Some(other) => panic!("{other:?} is no answer to a connect request"),
            // Closed: nobody leads yet.
            None => {
                pause(Duration::from_millis(50));
                None
            }
        }
    }

    fn send(&mut self, frame: &ClientFrame) -> Option<()> {
        let mut bytes = Vec::new();
        self.codec.encode(frame, &mut bytes);
        self.stream.write_all(&bytes).ok()
    }

    /// The next frame; none if the connection is closed.
    fn receive(&mut self) -> Option<ServerFrame> {
        let mut room = [0; 4096];
        loop {
            if let Some(frame) = self.codec.next_frame().expect("a frame of a server") {
                return Some(frame);
            }
            match self.stream.read(&mut room) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.codec.feed(&room[..count]),
            }
        }
    }

    fn ask(&mut self, op: Op) -> Option<Result<Reply, ZkError>> {
        self.xid += 1;
        self.send(&ClientFrame::Request { xid: self.xid, op })?;
        match self.receive()? {
            ServerFrame::Reply { result, .. } => Some(result),
            other => panic!("{other:?} is no reply"),
        }
    }
}

fn create(path: &str) -> Op {
    Op::create(path, Some(b"x"[..].into()), CreateMode::Persistent)
}

fn exists(path: &str) -> Op {
    Op::Exists { path: path.into(), watch: false }
}

/// Whether the server closes the connection, having said nothing.
#[track_caller]
fn assert_closed_without_a_word(mut stream: TcpStream, said: &[u8]) {
    // The server may be done with it before all of it is sent.
    let _ = stream.write_all(said);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let is_closed = read.is_ok_and(|_| true) || answer.is_empty();
    assert!(is_closed && answer.is_empty(), "{said:?} was answered with {answer:?}");
}

fn framed(record: &[u8]) -> Vec<u8> {
    [&(record.len() as i32).to_be_bytes()[..], record].concat()
}

fn connect_request() -> Vec<u8> {
    framed(&[&[0; 16][..], &[0; 8], &16_i32.to_be_bytes(), &[0; 17]].concat())
}

// ---- bad input ----

/// "a longer or negative length closes the connection, no reply (obs)"
#[test]
fn frame_that_is_no_frame_closes_its_connection_and_no_other() {
    let served = Served::new(1, &[]);
    let mut witness = served.client();
    assert!(witness.ask(create("/witness")).unwrap().is_ok());
    let garbage: Vec<u8> = (0_u32..4_096).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let over = [&0x10_0000_i32.to_be_bytes()[..], &[0; 64]].concat();
    let cases: [&[u8]; 8] = [
        &[0xff; 4],
        &[0x7f, 0xff, 0xff, 0xff],
        &over,
        b"zzzz",
        b"GET / HTTP/1.1\r\n\r\n",
        &framed(&[]),
        &framed(&[0; 20]),
        &[&[0x80][..], &garbage].concat(),
    ];
    for case in cases {
        assert_closed_without_a_word(served.connection(), case);
        assert!(witness.ask(exists("/witness")).unwrap().is_ok());
    }
}

#[test]
fn truncated_requests_wait_and_cut_off_clients_are_forgotten() {
    let served = Served::new(1, &[]);
    let mut witness = served.client();
    let mut half = served.connection();
    half.write_all(&connect_request()[..30]).unwrap();
    assert!(witness.ask(create("/a")).unwrap().is_ok());
    half.write_all(&connect_request()[30..]).unwrap();
    let mut reply = [0; 41];
    half.read_exact(&mut reply).unwrap();
    half.write_all(&[0, 0, 1, 0, 0, 0]).unwrap();
    drop(half);
    assert!(witness.ask(exists("/a")).unwrap().is_ok());
}

/// "reply Unimplemented with header zxid -1, then connection closed; session lives on (obs)"
#[test]
fn unknown_op_code_is_answered_and_ends_the_connection() {
    let served = Served::new(1, &[]);
    let mut client = served.client();
    client.send(&ClientFrame::Request { xid: 7, op: Op::Unknown }).unwrap();
    let Some(ServerFrame::Reply { xid: 7, zxid, result }) = client.receive() else { panic!("a reply") };
    assert_eq!((zxid, result), (Zxid(u64::MAX), Err(ZkError::Unimplemented)));
    assert_eq!(client.receive(), None);
}

/// "body too short: MarshallingError"; a million bytes of nonsense in a body are a body.
#[test]
fn nonsense_in_a_body_is_answered_and_the_connection_goes_on() {
    let served = Served::new(1, &[]);
    let mut client = served.client();
    for write in [true, false] {
        let op = Op::Malformed { write, error: ZkError::MarshallingError };
        assert_eq!(client.ask(op), Some(Err(ZkError::MarshallingError)));
    }
    let long = Op::create("/long", Some(vec![0xff; 1_000_000].into()), CreateMode::Persistent);
    assert!(client.ask(long).unwrap().is_ok());
    assert!(client.ask(exists("/long")).unwrap().is_ok());
}

#[test]
fn a_thousand_silent_connections_hold_nobody_up() {
    let served = Served::new(1, &["--max-client-connections", "0"]);
    let silent: Vec<_> = (0..1_000).map(|_| served.connection()).collect();
    let mut client = served.client();
    for nth in 0..100 {
        assert!(client.ask(create(&format!("/n{nth}"))).unwrap().is_ok());
    }
    drop(silent);
    assert!(client.ask(exists("/n99")).unwrap().is_ok());
}

/// "maxClientCnxns | 60 per address"
#[test]
fn connection_over_the_limit_is_closed() {
    let served = Served::new(1, &["--max-client-connections", "2"]);
    let mut one = served.client();
    let _two = served.client();
    assert_closed_without_a_word(served.connection(), &connect_request());
    assert!(one.ask(exists("/")).unwrap().is_ok());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let served = Served::new(1, &[]);
    let mut client = served.client();
    const COUNT: i32 = 5_000;
    let mut bytes = Vec::new();
    for xid in 1..=COUNT {
        let op =
            if xid == 1 { create("/p") } else { Op::SetData { path: "/p".into(), data: None, version: -1 } };
        client.codec.encode(&ClientFrame::Request { xid, op }, &mut bytes);
    }
    client.stream.write_all(&bytes).unwrap();
    for expected in 1..=COUNT {
        let Some(ServerFrame::Reply { xid, result: Ok(_), .. }) = client.receive() else { panic!("a reply") };
        assert_eq!(xid, expected);
    }
}

// ---- words ----

fn word(served: &Served, word: &str) -> String {
    let mut stream = served.connection();
    stream.write_all(word.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// "4-letter words … only `srvr` allowed by default"
#[test]
fn stock_server_answers_srvr_alone() {
    let served = Served::new(1, &[]);
    drop(served.client());
    assert!(word(&served, "srvr").contains("\nMode: standalone\n"));
    assert_eq!(word(&served, "ruok"), "ruok is not executed because it is not in the whitelist.\n");
}

#[test]
fn words_tell_of_sessions_watches_and_ephemerals() {
    let served = Served::new(1, &["--4lw", "*"]);
    let mut client = served.client();
    assert!(client.ask(Op::create("/e", None, CreateMode::Ephemeral)).unwrap().is_ok());
    assert!(client.ask(Op::GetData { path: "/e".into(), watch: true }).unwrap().is_ok());
    assert_eq!(word(&served, "ruok"), "imok");
    assert_eq!(word(&served, "isro"), "rw");
    assert!(word(&served, "stat").contains("\nNode count: 6\n"), "{}", word(&served, "stat"));
    assert!(word(&served, "mntr").contains("\nzk_ephemerals_count\t1\n"));
    assert!(word(&served, "conf").contains("\ntickTime=200\n"));
    assert!(word(&served, "cons").contains(",lop=GETD,"), "{}", word(&served, "cons"));
    assert!(word(&served, "wchs").starts_with("1 connections watching 1 paths\nTotal watches:1"));
    assert!(word(&served, "wchc").ends_with("\n\t/e\n\n"));
    assert!(word(&served, "wchp").starts_with("/e\n\t0x1"));
    assert!(word(&served, "dump").contains("Sessions with Ephemerals (1):\n0x1"));
    assert!(word(&served, "envi").contains("\nzookeeper.version=3.8.0-"));
    assert_eq!(word(&served, "srst"), "Server stats reset.\n");
    assert!(word(&served, "srvr").contains("\nReceived: 0\n"));
}

// ---- orders ----

#[test]
fn leader_is_killed_the_others_go_on_and_it_comes_back() {
    let mut served = Served::new(3, &[]);
    let mut client = served.client();
    assert!(client.ask(create("/before")).unwrap().is_ok());
    assert_eq!(served.order("crash 3"), ["ok"]);
    assert!(TcpStream::connect(served.addresses[2]).is_err());
    let mut other = served.client_of(1);
    assert!(other.ask(create("/during")).unwrap().is_ok());
    assert_eq!(served.order("start zk-3"), ["ok"]);
    let mut returned = served.client_of(2);
    assert!(returned.ask(Op::Sync { path: "/".into() }).unwrap().is_ok());
    assert!(returned.ask(exists("/during")).unwrap().is_ok());
    let status = served.order("status");
    assert!(status.len() == 4 && status.iter().any(|line| line.contains("leader")), "{status:?}");
}

#[test]
fn server_that_is_cut_off_or_held_does_not_write() {
    let mut served = Served::new(3, &[]);
    let mut client = served.client_of(2);
    assert!(client.ask(create("/a")).unwrap().is_ok());
    assert_eq!(served.order("isolate 3"), ["ok"]);
    let mut other = served.client_of(0);
    assert!(other.ask(create("/b")).unwrap().is_ok());
    assert_eq!(client.ask(create("/c")), None, "a leader without a quorum cuts its clients off");
    assert_eq!(served.order("heal"), ["ok"]);
    let mut again = served.client_of(2);
    assert!(again.ask(create("/d")).unwrap().is_ok());
    assert_eq!(served.order("pause 1"), ["ok"]);
    assert!(served.order("status")[0].contains("(held)"));
    assert_eq!(served.order("resume 1"), ["ok"]);
}

#[test]
fn bad_order_says_what_is_wrong() {
    let mut served = Served::new(3, &[]);
    for (order, part) in [
        ("stop 4", "there is no zk-4: there is zk-1 to zk-3"),
        ("stpo 1", "did you mean `stop`?"),
        ("start 1", "zk-1 runs"),
        ("resume 1", "zk-1 is not held"),
        ("cut 1 1", "zk-1 has no link to itself"),
    ] {
        let answer = served.order(order);
        assert!(answer[0].starts_with("error: ") && answer[0].contains(part), "{order}: {answer:?}");
    }
    assert_eq!(served.order("stop 1"), ["ok"]);
    assert!(served.order("stop 1")[0].contains("zk-1 does not run: it was stopped"));
    assert_eq!(served.order("help").last().unwrap(), "ok");
}

#[test]
fn orders_are_taken_at_the_control_address() {
    let place = tempfile::tempdir().unwrap();
    let control = place.path().join("control").to_string_lossy().into_owned();
    let _served = Served::new(3, &["--control", &control]);
    let give = |order: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_shardarium"))
            .args(["control", &control])
            .args(order)
            .output()
            .unwrap();
        (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(give(&["stop", "2"]), (0, Vec::new(), String::new()));
    assert_eq!(give(&["stop", "2"]).0, 64);
    assert!(give(&["stop", "9"]).2.contains("there is no zk-9"));
    assert!(String::from_utf8(give(&["status"]).1).unwrap().contains("down: it was stopped"));
}

// ---- beginnings and ends ----

/// Ends the program as ctrl-c does; its exit code.
fn interrupt(served: &mut Served) -> Option<i32> {
    let id = served.process.id().to_string();
    assert!(Command::new("sh").args(["-c", "kill -INT $0", &id]).status().unwrap().success());
    served.process.wait().unwrap().code()
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data").to_string_lossy().into_owned();
    for (nth, servers) in [(0, 1), (1, 1)] {
        let mut served = Served::new(servers, &["--data", &data]);
        let mut client = served.client();
        let before = client.ask(exists("/kept")).unwrap();
        assert_eq!(before.is_ok(), nth == 1, "{before:?}");
        if nth == 0 {
            assert!(client.ask(create("/kept")).unwrap().is_ok());
        }
        assert_eq!(interrupt(&mut served), Some(0));
    }
}

#[track_caller]
fn assert_unusable(arguments: &[&str], part: &str) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_shardarium")).arg("serve").args(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains(part) && !error.contains("panicked"), "{part:?} is not in {error}");
}

#[test]
fn what_cannot_be_served_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_unusable(&["--zookeeper", &address], "cannot listen on 127.0.0.1");
    assert_unusable(&["--zookeeper", "2181"], "2181");
    assert_unusable(&["--zookeeper", "127.0.0.1:65535", "--servers", "3"], "no port below 65536");
    assert_unusable(&["--servers", "8"], "8");
    assert_unusable(&["--4lw", "nosu"], "no four-letter word");
    assert_unusable(&["--session-timeout-min", "9", "--session-timeout-max", "3"], "above the greatest");
    assert_unusable(&["--zookeeper", "127.0.0.1:0", "--data", "/dev/null/x"], "cannot keep files");
    assert_unusable(&["--zookeeper", "127.0.0.1:0", "--control", "nowhere"], "IP:PORT");
    assert_unusable(&["--zookeeper", "127.0.0.1:0", "--control", "/no/such/place"], "cannot take orders");
}

#[test]
fn folder_in_use_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().to_string_lossy().into_owned();
    let _served = Served::new(1, &["--data", &data]);
    assert_unusable(&["--zookeeper", "127.0.0.1:0", "--data", &data], "another process does");
}

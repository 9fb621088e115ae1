//! Control — decides how orders reach a running ensemble, and how answers come back. It never carries an
//! order out.
//!
//! A line an order; what it answers, then a line that is `ok` or begins with `error: `.

use std::{
    fmt, fs, io,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    str::FromStr,
    sync::{Arc, mpsc},
    time::Duration,
};

use mio::Waker;

/// The longest line that is read, in bytes.
const LINE_MAX: u64 = 1_000;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where orders are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for ControlAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        let bad = |_| format!("`{text}` is neither IP:PORT nor a path with a `/` in it");
        text.parse().map(Self::Tcp).map_err(bad)
    }
}

/// Something that comes from outside the loop.
#[derive(Debug)]
pub(super) enum Call {
    /// A line, and who wants the answer.
    Line(String, mpsc::Sender<String>),
    /// The program is to end.
    End,
}

/// The way into the loop.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    calls: mpsc::Sender<Call>,
    waker: Arc<Waker>,
}

impl Caller {
    pub(super) fn new(calls: mpsc::Sender<Call>, waker: Waker) -> Self {
        Self { calls, waker: Arc::new(waker) }
    }

    /// Puts a call to the loop; false if the loop has ended.
    pub(super) fn call(&self, call: Call) -> bool {
        self.calls.send(call).is_ok() && self.waker.wake().is_ok()
    }

    fn ask(&self, line: String) -> String {
        let (answer, answers) = mpsc::channel();
        if !self.call(Call::Line(line, answer)) {
            return "error: the ensemble has ended".into();
        }
        answers.recv_timeout(ANSWER_MAX).unwrap_or_else(|_| "error: the ensemble does not answer".into())
    }
}

/// Takes orders from stdin, and answers on stdout.
pub(super) fn listen_to_stdin(caller: Caller) {
    aside(move || converse(io::stdin().lock(), io::stdout(), &caller));
}

/// Takes orders at an address.
///
/// # Errors
///
/// If nobody can listen there.
pub(super) fn listen(address: &ControlAddress, caller: Caller) -> io::Result<()> {
    match address {
        ControlAddress::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            aside(move || listener.incoming().flatten().for_each(|stream| talk_tcp(stream, &caller)));
        }
        ControlAddress::Unix(path) => {
            // What an earlier run left there is no socket of anybody.
            if UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            {
                fs::remove_file(path)?;
            }
            let listener = UnixListener::bind(path)?;
            aside(move || listener.incoming().flatten().for_each(|stream| talk_unix(stream, &caller)));
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "who waits for orders does not hold up the loop")]
fn aside(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

fn talk_tcp(stream: TcpStream, caller: &Caller) {
    let (caller, Ok(reader)) = (caller.clone(), stream.try_clone()) else { return };
    aside(move || converse(BufReader::new(reader), stream, &caller));
}

fn talk_unix(stream: UnixStream, caller: &Caller) {
    let (caller, Ok(reader)) = (caller.clone(), stream.try_clone()) else { return };
    aside(move || converse(BufReader::new(reader), stream, &caller));
}

fn converse(mut lines: impl BufRead, mut answers: impl Write, caller: &Caller) {
    loop {
        let mut line = Vec::new();
        match io::Read::take(&mut lines, LINE_MAX).read_until(b'\n', &mut line) {
            Ok(1..) if line.ends_with(b"\n") || (line.len() as u64) < LINE_MAX => {}
            Ok(1..) => return drop(writeln!(answers, "error: a line has at most {LINE_MAX} bytes")),
            _ => return,
        }
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if !line.is_empty() && writeln!(answers, "{}", caller.ask(line)).is_err() {
            return;
        }
    }
}

/// Gives an order to the ensemble that listens there; what it answers.
///
/// # Errors
///
/// If nobody listens there, or the order is refused.
pub fn order(address: &ControlAddress, line: &str) -> Result<String, String> {
    let asked = match address {
        ControlAddress::Tcp(address) => TcpStream::connect(address).and_then(|stream| ask(&stream, line)),
        ControlAddress::Unix(path) => UnixStream::connect(path).and_then(|stream| ask(&stream, line)),
    };
    asked.map_err(|error| format!("error: no answer from {address}: {error}"))?
}

fn ask<S>(mut stream: &S, line: &str) -> io::Result<Result<String, String>>
where
    for<'a> &'a S: io::Read + Write,
{
    writeln!(stream, "{line}")?;
    let mut said = String::new();
    for line in BufReader::new(stream).lines() {
        match line? {
            end if end == "ok" => return Ok(Ok(said)),
            end if end.starts_with("error: ") => return Ok(Err(end)),
            line => said = said + &line + "\n",
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_tcp_or_a_path() {
        assert_eq!("127.0.0.1:7".parse(), Ok(ControlAddress::Tcp(([127, 0, 0, 1], 7).into())));
        assert_eq!("./control".parse(), Ok(ControlAddress::Unix("./control".into())));
        for text in ["7", "localhost:7", ""] {
            assert!(text.parse::<ControlAddress>().unwrap_err().contains("IP:PORT"));
        }
    }
}

//! Client — a test's end of a connection to a server.

use super::*;

/// A test's end of a client connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) conn: ConnId,
    pub(crate) session: SessionId,
    pub(crate) password: Password,
    pub(crate) timeout_ms: u64,
    pub(crate) seen: Zxid,
    pub(crate) xid: i32,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            conn: ConnId(0),
            session: SessionId::NONE,
            password: 0,
            timeout_ms: 4000,
            seen: Zxid(0),
            xid: 0,
        }
    }
}

impl World {
    pub(super) fn client_input(&mut self, input: Input<Message>) {
        match input {
            Input::Received { conn, message: Message::ToClient(frame) } => {
                self.inboxes.entry(conn).or_default().push_back(frame);
            }
            Input::Closed { conn, .. } => {
                self.closed.insert(conn);
            }
            _ => {}
        }
    }

    pub(crate) fn dial(&mut self, server: HostId) -> ConnId {
        self.dial_port(server, Port::ZkClient)
    }

    pub(crate) fn dial_port(&mut self, server: HostId, port: Port) -> ConnId {
        self.seq += 1;
        let conn = ConnId(self.seq);
        let link = Link { peer: (server, ConnId(u64::MAX)), waiting: Some(Vec::new()), busy_until: 0 };
        self.links.insert((CLIENT, conn), link);
        self.at(self.now + LATENCY, Due::Dialled { from: (CLIENT, conn), to: server, port });
        conn
    }

    pub(crate) fn say(&mut self, conn: ConnId, frame: ClientFrame) {
        self.send((CLIENT, conn), Message::ToServer(frame));
    }

    pub(crate) fn ask(&mut self, client: &mut Client, op: Op) -> i32 {
        client.xid += 1;
        self.say(client.conn, ClientFrame::Request { xid: client.xid, op });
        client.xid
    }

    /// The next frame, if one comes within this time.
    pub(crate) fn hear(&mut self, conn: ConnId, ms: u64) -> Option<ServerFrame> {
        self.run_until(ms, |world| {
            world.closed.contains(&conn) || world.inboxes.get(&conn).is_some_and(|inbox| !inbox.is_empty())
        });
        self.inboxes.get_mut(&conn)?.pop_front()
    }

    /// Asks, and waits for the reply; watch events in between are dropped.
    pub(crate) fn call(&mut self, client: &mut Client, op: Op) -> Option<Result<Reply, ZkError>> {
        let asked = self.ask(client, op);
        loop {
            match self.hear(client.conn, 2000)? {
                ServerFrame::Reply { xid, zxid, result } if xid == asked => {
                    client.seen = client.seen.max(zxid);
                    return Some(result);
                }
                _ => {}
            }
        }
    }

    /// One attempt to connect.
    pub(crate) fn connect_as(&mut self, server: HostId, as_of: &Client) -> Option<Client> {
        let conn = self.dial(server);
        self.say(
            conn,
            ClientFrame::Connect {
                last_zxid_seen: as_of.seen,
                timeout_ms: as_of.timeout_ms,
                session: as_of.session,
                password: as_of.password,
                read_only: false,
            },
        );
        match self.hear(conn, 1000)? {
            ServerFrame::Connected { timeout_ms, session, password, .. } => {
                Some(Client { conn, session, password, timeout_ms, ..*as_of })
            }
            frame => panic!("{frame:?} is no answer to connect"),
        }
    }

    /// A new session on this server, as soon as it serves.
    pub(crate) fn connect(&mut self, server: HostId) -> Client {
        self.reconnect(server, &Client::default())
    }

    /// The session on this server, as soon as it serves.
    pub(crate) fn reconnect(&mut self, server: HostId, as_of: &Client) -> Client {
        for _ in 0..400 {
            if let Some(client) = self.connect_as(server, as_of) {
                return client;
            }
            self.run_for(20);
        }
        panic!("{server} does not serve; {:#?}", self.events.iter().rev().take(30).collect::<Vec<_>>());
    }
}

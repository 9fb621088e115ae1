//! Addresses — decides how one server's line in a configuration is read and written. It never dials anything.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{Role, text::BadConfiguration};
use crate::name::HostId;

/// A host name or address with a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    host: String,
    port: u16,
}

/// Where a server is: `host:quorumPort:electionPort`, then perhaps `;[clientHost:]clientPort` and
/// `;[secureHost:]securePort`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Addresses {
    quorum: Place,
    election_port: u16,
    client: Option<Place>,
    secure_client: Option<Place>,
}

impl Addresses {
    /// The addresses set for a server, or else those of a machine of this name with the usual ports.
    ///
    /// # Panics
    ///
    /// If the text that is set is not `host:port:port[;[host:]port]`.
    pub(super) fn of(host: HostId, set: &BTreeMap<HostId, String>) -> Self {
        match set.get(&host) {
            Some(text) => read(text).expect("the addresses set for a server can be read").0,
            None => Self {
                quorum: Place { host: host.to_string(), port: 2888 },
                election_port: 3888,
                client: Some(Place { host: "0.0.0.0".to_owned(), port: 2181 }),
                secure_client: None,
            },
        }
    }

    /// Whether a client port is given: a reconfiguration must give one.
    pub(super) fn has_client_port(&self) -> bool {
        self.client.is_some() || self.secure_client.is_some()
    }

    /// Whether other servers reach both at the same place.
    pub fn same_quorum_address(&self, other: &Self) -> bool {
        self.quorum == other.quorum
    }

    /// Whether some port of both is the same. Wildcards and loopback addresses never are
    /// (`excludedSpecialAddresses`).
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        self.places().any(|ours| !ours.is_special() && other.places().any(|theirs| ours == theirs))
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let election = Place { host: self.quorum.host.clone(), port: self.election_port };
        let clients = self.client.iter().chain(&self.secure_client).cloned();
        [self.quorum.clone(), election].into_iter().chain(clients)
    }

    /// The line's right side, the role between ports and client ports.
    pub(super) fn write(&self, role: Role, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match role {
            Role::Participant => "participant",
            Role::Observer => "observer",
        };
        write!(out, "{}:{}:{role}", self.quorum, self.election_port)?;
        match (&self.client, &self.secure_client) {
            (None, None) => Ok(()),
            (Some(client), None) => write!(out, ";{client}"),
            (Some(client), Some(secure)) => write!(out, ";{client};{secure}"),
            (None, Some(secure)) => write!(out, ";;{secure}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Place {
    fn is_special(&self) -> bool {
        let host = self.host.as_str();
        host == "0.0.0.0" || host == "localhost" || host.starts_with("127.") || ["::", "::1"].contains(&host)
    }
}

/// Reads the right side of a line: addresses, and the role, which is that of a participant if it is left out
/// (`QuorumServer.initializeWithAddressString`).
pub(super) fn read(text: &str) -> Result<(Addresses, Role), BadConfiguration> {
    let parts = java_split(text, ';');
    let server = parts.first().copied().unwrap_or_default();
    if server.contains('|') {
        return Err(BadConfiguration::Refused);
    }
    let client = parts.get(1).filter(|part| !part.is_empty()).map(|part| client_place(part)).transpose()?;
    let secure = parts.get(2).filter(|part| parts.len() == 3 && !part.is_empty());
    let secure_client = secure.map(|part| client_place(part)).transpose()?;
    let (host, ports) = host_and_ports(server)?;
    let (quorum, election, role) = match ports[..] {
        [quorum, election] => (quorum, election, Role::Participant),
        [quorum, election, role] => (quorum, election, read_role(role)?),
        _ => return Err(BadConfiguration::Refused),
    };
    let (quorum_port, election_port) = (port(quorum)?, port(election)?);
    if quorum_port == election_port {
        return Err(BadConfiguration::Refused);
    }
    let quorum = Place { host: host.to_owned(), port: quorum_port };
    Ok((Addresses { quorum, election_port, client, secure_client }, role))
}

fn client_place(text: &str) -> Result<Place, BadConfiguration> {
    let (host, ports) = host_and_ports(text)?;
    match ports[..] {
        [] => Ok(Place { host: "0.0.0.0".to_owned(), port: port(host)? }),
        [only] => Ok(Place { host: host.to_owned(), port: port(only)? }),
        _ => Err(BadConfiguration::Refused),
    }
}

/// The host, in brackets if it has colons, and what stands between the colons behind it.
fn host_and_ports(text: &str) -> Result<(&str, Vec<&str>), BadConfiguration> {
    let Some(bracketed) = text.strip_prefix('[') else {
        let mut parts = java_split(text, ':').into_iter();
        return Ok((parts.next().unwrap_or_default(), parts.collect()));
    };
    let (host, rest) = bracketed.split_once(']').ok_or(BadConfiguration::Refused)?;
    match rest.strip_prefix(':') {
        Some(ports) if !ports.is_empty() => Ok((host, java_split(ports, ':'))),
        _ => Err(BadConfiguration::Refused),
    }
}

fn read_role(text: &str) -> Result<Role, BadConfiguration> {
    match text.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err(BadConfiguration::Refused),
    }
}

/// What is no number is refused; a number that is no port fails deeper, in `InetSocketAddress`.
fn port(text: &str) -> Result<u16, BadConfiguration> {
    let number = i32::from_str(text).map_err(|_| BadConfiguration::Refused)?;
    u16::try_from(number).map_err(|_| BadConfiguration::Unreadable)
}

/// As Java's `split`: empty parts at the end are dropped.
fn java_split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line reads as when it is written again.
    fn again(text: &str) -> Result<String, BadConfiguration> {
        struct Line(Addresses, Role);
        impl fmt::Display for Line {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write(self.1, f)
            }
        }
        let (addresses, role) = read(text)?;
        Ok(Line(addresses, role).to_string())
    }

    #[test]
    fn line_is_written_in_its_full_form() {
        for (read, written) in [
            ("zk-1:2888:3888", "zk-1:2888:3888:participant"),
            ("zk-1:2888:3888;2181", "zk-1:2888:3888:participant;0.0.0.0:2181"),
            ("a:1:2:observer;b:3", "a:1:2:observer;b:3"),
            ("a:1:2: Participant ;3;", "a:1:2:participant;0.0.0.0:3"),
            ("a:1:2;3;4", "a:1:2:participant;0.0.0.0:3;0.0.0.0:4"),
            ("a:1:2;;4", "a:1:2:participant;;0.0.0.0:4"),
            ("[::1]:1:2;[::]:3", "[::1]:1:2:participant;[::]:3"),
        ] {
            assert_eq!(again(read).as_deref(), Ok(written), "{read}");
            assert_eq!(again(written).as_deref(), Ok(written), "{written}");
        }
    }

    #[test]
    fn line_of_another_form_is_refused() {
        for text in [
            "",
            "a",
            "a:1",
            "a:1:2:participant:3",
            "a:1:1",
            "a:1:2:king",
            "a:x:2",
            "a:1:2;b:3:4",
            "a:1:2;x",
            "a:1:2|b:3:4",
            "[::1:1:2",
            "[::1]",
            "[::1]:",
        ] {
            assert_eq!(again(text), Err(BadConfiguration::Refused), "{text}");
        }
        assert_eq!(again("a:1:70000"), Err(BadConfiguration::Unreadable));
    }

    #[test]
    fn same_port_of_one_machine_conflicts_unless_it_is_this_machine() {
        let read = |text| read(text).unwrap().0;
        assert!(read("a:1:2;3").conflicts_with(&read("a:4:1;5")));
        assert!(!read("a:1:2;3").conflicts_with(&read("b:1:2;3")));
        assert!(!read("127.0.0.1:1:2;3").conflicts_with(&read("127.0.0.1:1:2;3")));
    }
}

//! Text — decides how a whole configuration is read and written, as in the dynamic configuration file and in
//! `/zookeeper/config`. It never touches a file.

use std::{collections::BTreeMap, fmt};

use super::{Member, Membership, address};
use crate::{
    name::{HostId, Zxid},
    zookeeper::{
        txn::{LoggedTxn, Txn},
        wire::ZkError,
    },
};

/// Why a configuration means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadConfiguration {
    /// It has another form (`ConfigException`).
    #[error("the configuration has lines of a wrong form")]
    Refused,
    /// A number in it is none, or it makes no ensemble (`IllegalArgumentException`, of which
    /// `NumberFormatException` is one).
    #[error("the configuration has numbers or members that cannot be")]
    Unreadable,
}

impl From<BadConfiguration> for ZkError {
    fn from(bad: BadConfiguration) -> Self {
        match bad {
            BadConfiguration::Refused => Self::BadArguments,
            BadConfiguration::Unreadable => Self::MarshallingError,
        }
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (host, member) in &*self.members {
            write!(f, "server.{}=", host.number)?;
            member.addresses.write(member.role, f)?;
            f.write_str("\n")?;
        }
        write!(f, "version={:x}", self.version.0)
    }
}

impl Membership {
    /// The configuration that a transaction proposes, if it is a reconfiguration.
    pub fn proposed_by(logged: &LoggedTxn) -> Option<Self> {
        let Txn::Reconfig { members, .. } = &logged.txn else { return None };
        Some(Self::read(members).ok()?.with_version(logged.header.zxid))
    }

    /// Reads a configuration: `server.N=…` lines and perhaps `version=…` in hexadecimal; without it, 0.
    ///
    /// # Errors
    ///
    /// If it has another form: see [`BadConfiguration`].
    pub fn read(text: &str) -> Result<Self, BadConfiguration> {
        let (mut version, mut members) = (Zxid(0), BTreeMap::new());
        let lines = text.lines().map(str::trim_start);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])).collect();
        if lines.iter().any(|line| !is_known(key_and_value(line).0)) {
            return Err(BadConfiguration::Refused);
        }
        for line in lines {
            match key_and_value(line) {
                ("version", value) => version = read_version(value)?,
                (key, value) => {
                    let (addresses, role) = address::read(value)?;
                    members.insert(server_number(key)?, Member { role, addresses });
                }
            }
        }
        Ok(Self::new(version, members))
    }
}

fn is_known(key: &str) -> bool {
    key.starts_with("server.") || key == "version"
}

/// As `Properties.load`: the key ends at the first `=`, `:` or blank.
fn key_and_value(line: &str) -> (&str, &str) {
    let end = line.find(['=', ':', ' ', '\t']).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn read_version(text: &str) -> Result<Zxid, BadConfiguration> {
    i64::from_str_radix(text, 16)
        .map(|version| Zxid(version as u64))
        .map_err(|_| BadConfiguration::Unreadable)
}

/// The server of a key `server.N`.
pub(super) fn server_number(key: &str) -> Result<HostId, BadConfiguration> {
    let number = key.rsplit_once('.').map_or(key, |(_, number)| number);
    match number.parse() {
        Ok(0) | Err(_) => Err(BadConfiguration::Unreadable),
        Ok(number) => Ok(HostId::zookeeper(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::of, *};

    #[test]
    fn configuration_is_written_line_by_line_with_its_version() {
        let membership = of(&[2, 1], &[3]).with_version(Zxid(0x1_0000_0004));
        let text = "server.1=zk-1:2888:3888:participant;0.0.0.0:2181\n\
                    server.2=zk-2:2888:3888:participant;0.0.0.0:2181\n\
                    server.3=zk-3:2888:3888:observer;0.0.0.0:2181\n\
                    version=100000004";
        assert_eq!(membership.to_string(), text);
        assert_eq!(Membership::read(text), Ok(membership));
    }

    #[test]
    fn version_left_out_is_zero_and_comments_do_not_count() {
        let read = Membership::read("# three of them\n\n  server.7 = a:1:2;3\n").unwrap();
        assert_eq!(
            (read.version(), read.voters().collect::<Vec<_>>()),
            (Zxid(0), vec![HostId::zookeeper(7)])
        );
    }

    #[test]
    fn unknown_keys_and_numbers_that_are_none_are_told_apart() {
        assert_eq!(Membership::read("group.1=1:2"), Err(BadConfiguration::Refused));
        assert_eq!(Membership::read("tickTime=2000"), Err(BadConfiguration::Refused));
        assert_eq!(Membership::read("server.x=a:1:2;3"), Err(BadConfiguration::Unreadable));
        assert_eq!(Membership::read("server.0=a:1:2;3"), Err(BadConfiguration::Unreadable));
        assert_eq!(Membership::read("version=king"), Err(BadConfiguration::Unreadable));
    }
}

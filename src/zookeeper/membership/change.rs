//! Change — decides what a reconfiguration makes of an ensemble, or which error it comes to. It never asks who
//! may do so.
//!
//! The order of the checks is that of `PrepRequestProcessor.java`, case `reconfig`, between the check of the
//! version and that of WRITE on `/zookeeper/config`.

use std::collections::BTreeMap;

use super::{
    Member, Membership, Views, address,
    text::{BadConfiguration, server_number},
};
use crate::{
    name::{HostId, Zxid},
    zookeeper::wire::ZkError,
};

/// What a reconfiguration asks for: joining and leaving servers, or the whole new membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish<'a> {
    /// Servers to add or change: `server.N=…`, separated by commas.
    pub joining: Option<&'a str>,
    /// Numbers of servers to remove, separated by commas.
    pub leaving: Option<&'a str>,
    /// All servers, separated by commas or line ends; then the other two do not count.
    pub members: Option<&'a str>,
}

impl Views {
    /// The configuration that a wish comes to, under `version`. `standalone` is standaloneEnabled; `synced`
    /// tells which servers follow the leader and are level with it, itself included.
    ///
    /// # Errors
    ///
    /// In this order: BadArguments or MarshallingError if the wish cannot be read; BadArguments if it leaves
    /// too few voters; NewConfigNoQuorum if those who are synced are no quorum of it.
    pub fn reconfigured(
        &self,
        wish: Wish<'_>,
        version: Zxid,
        standalone: bool,
        synced: impl Fn(HostId) -> bool,
    ) -> Result<Membership, ZkError> {
        let wished = match wish.members {
            Some(members) => replaced(members, standalone)?,
            None => changed(self.proposed(), wish)?,
        };
        let wished = wished.with_version(version);
        if wished.voters().count() < if standalone { 2 } else { 1 } {
            return Err(ZkError::BadArguments);
        }
        if !wished.is_quorum(synced) {
            return Err(ZkError::NewConfigNoQuorum);
        }
        Ok(wished)
    }
}

/// The whole new membership (`parseDynamicConfig`).
fn replaced(members: &str, standalone: bool) -> Result<Membership, ZkError> {
    let wished = Membership::read(&members.replace(',', "\n"))?;
    let observed = wished.observers().next().is_some();
    match wished.voters().count() {
        0 if !standalone || observed => Err(BadConfiguration::Unreadable.into()),
        1 if standalone && observed => Err(BadConfiguration::Unreadable.into()),
        _ => Ok(wished),
    }
}

/// Leaving servers go first, then joining ones come, each of them in place of what it was before.
fn changed(before: &Membership, wish: Wish<'_>) -> Result<Membership, ZkError> {
    let mut members = (*before.members).clone();
    for leaving in items(wish.leaving, ',') {
        let number: i64 = leaving.parse().map_err(|_| ZkError::MarshallingError)?;
        if let Ok(number) = u16::try_from(number) {
            members.remove(&HostId::zookeeper(number));
        }
    }
    for joining in items(wish.joining, ',') {
        join(&mut members, joining)?;
    }
    Ok(Membership::new(before.version, members))
}

fn join(members: &mut BTreeMap<HostId, Member>, joining: &str) -> Result<(), ZkError> {
    let parts: Vec<_> = items(Some(joining), '=').collect();
    let [key, value] = parts[..] else { return Err(ZkError::BadArguments) };
    let host = server_number(key)?;
    let (addresses, role) = address::read(value)?;
    let conflicts =
        |(other, member): (&HostId, &Member)| *other != host && addresses.conflicts_with(&member.addresses);
    if !addresses.has_client_port() || members.iter().any(conflicts) {
        return Err(ZkError::BadArguments);
    }
    members.insert(host, Member { role, addresses });
    Ok(())
}

/// The parts that are not blank, trimmed (`StringUtils.split`).
fn items(text: Option<&str>, separator: char) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(separator).map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::of, *};

    const NOTHING: Wish<'_> = Wish { joining: None, leaving: None, members: None };

    fn joining(servers: &str) -> Wish<'_> {
        Wish { joining: Some(servers), ..NOTHING }
    }

    fn leaving(servers: &str) -> Wish<'_> {
        Wish { leaving: Some(servers), ..NOTHING }
    }

    fn members(servers: &str) -> Wish<'_> {
        Wish { members: Some(servers), ..NOTHING }
    }

    /// What comes of a wish to servers 1 to 3, all synced.
    fn wished(wish: Wish<'_>) -> Result<String, ZkError> {
        let views = Views::new(of(&[1, 2, 3], &[]), None);
        let result = views.reconfigured(wish, Zxid(0x10), true, |host| host.number <= 3)?;
        let line = |host: HostId| format!("{}{}", host.number, if result.is_voter(host) { "v" } else { "o" });
        assert_eq!(result.version(), Zxid(0x10));
        Ok(result.members.keys().map(|host| line(*host)).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn servers_join_change_and_leave() {
        assert_eq!(wished(joining("server.9=a:1:2;3")).as_deref(), Ok("1v 2v 3v 9v"));
        assert_eq!(wished(joining("server.9=a:1:2:observer;3")).as_deref(), Ok("1v 2v 3v 9o"));
        assert_eq!(wished(joining("server.3=zk-3:1:2:observer;3")).as_deref(), Ok("1v 2v 3o"));
        assert_eq!(wished(leaving("3")).as_deref(), Ok("1v 2v"));
        assert_eq!(wished(leaving("3, 77")).as_deref(), Ok("1v 2v"));
        let both = Wish { leaving: Some("3"), ..joining("server.4=a:1:2;3") };
        assert_eq!(wished(both).as_deref(), Ok("1v 2v 4v"));
        assert_eq!(wished(members("server.1=a:1:2;3,server.2=b:1:2;3")).as_deref(), Ok("1v 2v"));
    }

    /// The answers of the recording `reconfig_errors`.
    #[test]
    fn wishes_that_mean_nothing_are_refused_as_recorded() {
        assert_eq!(wished(joining("garbage")), Err(ZkError::BadArguments));
        assert_eq!(wished(joining("server.9=127.0.0.1:1:2")), Err(ZkError::BadArguments));
        assert_eq!(wished(leaving("2,3")), Err(ZkError::BadArguments));
        let strangers = "server.7=127.0.0.1:1:2:participant;3\nserver.8=127.0.0.1:4:5:participant;6";
        assert_eq!(wished(members(strangers)), Err(ZkError::NewConfigNoQuorum));
        assert_eq!(wished(leaving("x")), Err(ZkError::MarshallingError));
    }

    #[test]
    fn server_on_a_port_of_another_is_refused() {
        assert_eq!(wished(joining("server.9=zk-1:2888:7;8")), Err(ZkError::BadArguments));
        assert_eq!(wished(joining("server.9=zk-1:5:6;8")).as_deref(), Ok("1v 2v 3v 9v"));
    }

    #[test]
    fn observers_without_enough_voters_are_unreadable() {
        assert_eq!(wished(members("server.1=a:1:2:observer;3")), Err(ZkError::MarshallingError));
        assert_eq!(
            wished(members("server.1=a:1:2;3,server.2=b:1:2:observer;3")),
            Err(ZkError::MarshallingError)
        );
        assert_eq!(wished(members("")), Err(ZkError::BadArguments), "nobody at all is only too few");
    }

    #[test]
    fn last_voter_may_stay_alone_where_standalone_is_off() {
        let views = Views::new(of(&[1, 2], &[]), None);
        assert_eq!(views.reconfigured(leaving("2"), Zxid(9), true, |_| true), Err(ZkError::BadArguments));
        assert!(views.reconfigured(leaving("2"), Zxid(9), false, |_| true).is_ok());
        assert_eq!(views.reconfigured(leaving("1,2"), Zxid(9), false, |_| true), Err(ZkError::BadArguments));
    }
}

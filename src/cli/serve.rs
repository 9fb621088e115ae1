//! Serve and control — decides how an ensemble for real clients is asked for, and how orders are given to it.
//! It never serves.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, ValueEnum};

use super::{
    exit::{Exit, Failure},
    output::say,
};
use crate::{
    name::HostId,
    serve::{self, ControlAddress, Failed, Settings, Whitelist},
    zookeeper::wire::{Compat, EnsembleConfig, LocalSessions},
};

/// Servers that can vote.
const SERVERS_MAX: u16 = 7;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Serve ZooKeeper's clients at this IP and port; further servers of the ensemble have the ports that
    /// follow.
    #[arg(long, value_name = "IP:PORT", default_value_t = ServeArgs::ADDRESS)]
    pub(super) zookeeper: SocketAddr,
    /// Servers that vote, 1 to 7.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(SERVERS_MAX)))]
    pub(super) servers: u16,
    /// Servers that follow without a vote, after those.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=100))]
    pub(super) observers: u16,
    /// Keep files here, synced, and go on from what is there. Default: in memory.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Take orders at this address, IP:PORT or a path with a `/` in it, beside stdin. `help` tells what there
    /// is.
    #[arg(long, value_name = "ADDR")]
    pub(super) control: Option<ControlAddress>,
    /// Four-letter words to answer: `*`, or a list such as `srvr,ruok`. Default: srvr.
    #[arg(long = "4lw", value_name = "WORDS")]
    pub(super) words: Option<Whitelist>,
    /// tickTime.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(super) tick: u64,
    /// initLimit, in ticks.
    #[arg(long, value_name = "TICKS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) init_limit: u32,
    /// syncLimit, in ticks.
    #[arg(long, value_name = "TICKS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) sync_limit: u32,
    /// snapCount: transactions between snapshots.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) snap_count: u32,
    /// Whose behaviour where versions differ on purpose.
    #[arg(long, value_enum, default_value_t)]
    pub(super) compat: CompatArg,
    /// minSessionTimeout. Default: 2 ticks.
    #[arg(long, value_name = "MS")]
    pub(super) session_timeout_min: Option<u64>,
    /// maxSessionTimeout. Default: 20 ticks.
    #[arg(long, value_name = "MS")]
    pub(super) session_timeout_max: Option<u64>,
    /// zookeeper.extendedTypesEnabled: TTL nodes.
    #[arg(long)]
    pub(super) extended_types: bool,
    /// znode.container.checkIntervalMs.
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) container_interval: u64,
    /// zookeeper.enforceQuota.
    #[arg(long)]
    pub(super) enforce_quota: bool,
    /// zookeeper.DigestAuthenticationProvider.superDigest: `super:` and base64(sha1("super:password")).
    #[arg(long, value_name = "DIGEST")]
    pub(super) super_digest: Option<String>,
    /// localSessionsEnabled and localSessionsUpgradingEnabled.
    #[arg(long, value_enum, default_value_t)]
    pub(super) local_sessions: LocalArg,
    /// readonlymode.enabled.
    #[arg(long)]
    pub(super) read_only: bool,
    /// reconfigEnabled.
    #[arg(long)]
    pub(super) reconfig: bool,
    /// maxClientCnxns: connections from one address; 0: any number.
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(super) max_client_connections: u32,
    /// jute.maxbuffer: a longer request closes its connection.
    #[arg(long, value_name = "BYTES", default_value_t = 0xf_ffff, value_parser = clap::value_parser!(u32).range(64..=0x3fff_ffff))]
    pub(super) max_buffer: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum CompatArg {
    /// ZooKeeper 3.8.0.
    #[default]
    #[value(name = "3.8")]
    V3_8,
    /// ZooKeeper 3.9.
    #[value(name = "3.9")]
    V3_9,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LocalArg {
    /// Every session is global.
    #[default]
    Off,
    /// Sessions are local, and have no ephemerals.
    On,
    /// Sessions are local until they make an ephemeral.
    Upgrading,
}

#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// Where `serve --control` takes orders: IP:PORT, or a path with a `/` in it.
    pub(super) address: ControlAddress,
    /// The order, such as `stop 2`; `help` tells what there is.
    #[arg(required = true)]
    pub(super) order: Vec<String>,
}

impl ServeArgs {
    const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2_181);

    fn settings(&self) -> Result<Settings, Failure> {
        let voters = (1..=self.servers).map(HostId::zookeeper);
        let observers = (self.servers + 1..=self.servers + self.observers).map(HostId::zookeeper);
        let ensemble = EnsembleConfig {
            servers: voters.collect(),
            observers: observers.collect(),
            tick_ms: self.tick,
            init_limit: self.init_limit,
            sync_limit: self.sync_limit,
            snap_count: self.snap_count,
            compat: match self.compat {
                CompatArg::V3_8 => Compat::V3_8,
                CompatArg::V3_9 => Compat::V3_9,
            },
            session_timeout_min_ms: self.session_timeout_min,
            session_timeout_max_ms: self.session_timeout_max,
            extended_types: self.extended_types,
            container_check_ms: self.container_interval,
            local_sessions: match self.local_sessions {
                LocalArg::Off => LocalSessions::Off,
                LocalArg::On => LocalSessions::On,
                LocalArg::Upgrading => LocalSessions::Upgrading,
            },
            read_only: self.read_only,
            reconfig_enabled: self.reconfig,
            enforce_quota: self.enforce_quota,
            super_digest: self.super_digest.clone(),
            max_buffer: self.max_buffer,
            max_client_connections: self.max_client_connections,
            addresses: addresses(self.zookeeper, self.servers + self.observers),
            ..EnsembleConfig::default()
        };
        sound(&ensemble).map_err(Failure::usage)?;
        Ok(Settings {
            ensemble,
            address: self.zookeeper,
            data: self.data.clone(),
            control: self.control.clone(),
            words: self.words.clone().unwrap_or_default(),
        })
    }
}

/// Where servers are, for clients that read `/zookeeper/config`: true of the client ports; nobody listens at
/// the others. Ports that are yet to be found out are not told.
fn addresses(first: SocketAddr, servers: u16) -> BTreeMap<HostId, String> {
    let (IpAddr::V4(ip), 1..) = (first.ip(), first.port()) else { return BTreeMap::new() };
    let line = |nth: u16| {
        let port = first.port().checked_add(nth)?;
        let text = format!("{ip}:{}:{};{ip}:{port}", 2_888 + nth, 3_888 + nth);
        Some((HostId::zookeeper(nth + 1), text))
    };
    (0..servers).filter_map(line).collect()
}

/// What no argument says alone.
fn sound(config: &EnsembleConfig) -> Result<(), String> {
    let (min, max) = (config.session_timeout_min_ms(), config.session_timeout_max_ms());
    if min > max {
        return Err(format!(
            "error: the least session timeout ({min} ms) is above the greatest ({max} ms): see \
             --session-timeout-min and --session-timeout-max"
        ));
    }
    if config.observers.len() + config.servers.len() > 1 && config.servers.len() == 1 {
        return Err("error: a server on its own has no observers: use --servers 2 or more".into());
    }
    Ok(())
}

pub(super) fn serve(args: &ServeArgs) -> Result<Exit, Failure> {
    let mut says = |line: &str| drop(say(line));
    match serve::serve(args.settings()?, &mut says) {
        Ok(()) => Ok(Exit::Fine),
        Err(Failed::Unusable(why)) => Err(Failure::usage(why)),
        Err(Failed::Ended(why)) => Err(Failure::Unfinished(why)),
    }
}

pub(super) fn control(args: &ControlArgs) -> Result<Exit, Failure> {
    let said = serve::order(&args.address, &args.order.join(" ")).map_err(Failure::usage)?;
    say(&said).map(|()| Exit::Fine)
}

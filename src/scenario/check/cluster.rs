//! Sense of the cluster — decides whether servers, nodes, links and disks can be built. It never looks at
//! what works on them.

use std::time::Duration;

use super::{
    CLIENTS, Flaws, NODES, SERVERS, client_count, node_count, server_count,
    settings::{self, Use},
};
use crate::{
    name::{HostId, HostKind},
    scenario::format::{Scenario, Spread},
};

/// The most search nodes of a run.
const NODES_MAX: usize = 1000;

pub(super) fn check(scenario: &Scenario, flaws: &mut Flaws) {
    ensemble(scenario, flaws);
    timeouts(scenario, flaws);
    members(scenario, flaws);
    nodes(scenario, flaws);
    delays(scenario, flaws);
    settings::of_cluster("cluster.settings", &scenario.cluster.settings, Use::Before, flaws);
    if scenario.clocks.drift_max_ppm > 100_000 {
        let message = "clocks that are wrong by more than a tenth are no clocks";
        flaws.add("clocks.drift_max_ppm", message, "at most 100000 parts per million");
    }
}

fn ensemble(scenario: &Scenario, flaws: &mut Flaws) {
    let cluster = &scenario.cluster;
    if !(1..=7).contains(&cluster.zookeeper) {
        let message = format!("an ensemble of {} servers", cluster.zookeeper);
        flaws.add("cluster.zookeeper", message, "1 to 7 voting servers; 3 or 5 are usual");
    }
    let limits = [
        ("init_limit", cluster.init_limit),
        ("sync_limit", cluster.sync_limit),
        ("snap_count", cluster.snap_count),
        ("flush_operations", cluster.flush_operations),
    ];
    for (key, _) in limits.into_iter().filter(|(_, limit)| *limit == 0) {
        flaws.add(format!("cluster.{key}"), format!("`{key}` is 0"), "at least 1");
    }
    for key in ["init_limit", "sync_limit"].into_iter().zip([cluster.init_limit, cluster.sync_limit]) {
        if key.1 > 10_000 {
            flaws.add(
                format!("cluster.{}", key.0),
                format!("`{}` is {} ticks", key.0, key.1),
                "at most 10000",
            );
        }
    }
}

/// The most servers of a run, members or not.
const SERVERS_MAX: usize = 50;

fn members(scenario: &Scenario, flaws: &mut Flaws) {
    let settings = &scenario.zookeeper;
    let count = server_count(scenario);
    if count > SERVERS_MAX {
        let message = format!("{count} ZooKeeper servers");
        flaws.add(
            "zookeeper.observers",
            message,
            format!("at most {SERVERS_MAX}, observers and spares included"),
        );
    }
    if settings.spares > 0 && !settings.reconfig {
        let help = "add `reconfig = true`, or take the spares out";
        flaws.add("zookeeper.spares", "spare servers can never become members", help);
    }
    let interval = settings.container_interval;
    if interval < Duration::from_millis(1) || !interval.subsec_nanos().is_multiple_of(1_000_000) {
        let help = "ZooKeeper counts in milliseconds: such as `container_interval = \"10s\"`";
        flaws.add("zookeeper.container_interval", "the interval is not a whole number of milliseconds", help);
    }
}

fn timeouts(scenario: &Scenario, flaws: &mut Flaws) {
    let cluster = &scenario.cluster;
    if cluster.tick < Duration::from_millis(1) || !cluster.tick.subsec_nanos().is_multiple_of(1_000_000) {
        let help = "ZooKeeper counts in milliseconds: such as `tick = \"500ms\"`";
        flaws.add("cluster.tick", "the tick is not a whole number of milliseconds", help);
    }
    let spans = [
        ("session_timeout", cluster.session_timeout),
        ("refresh_interval", cluster.refresh_interval),
        ("request_timeout", cluster.request_timeout),
    ];
    for (key, _) in spans.into_iter().filter(|(_, span)| *span < Duration::from_millis(1)) {
        flaws.add(format!("cluster.{key}"), format!("`{key}` is under a millisecond"), "at least \"1ms\"");
    }
}

fn nodes(scenario: &Scenario, flaws: &mut Flaws) {
    if scenario.cluster.zones.is_empty() {
        flaws.add("cluster.zones", "there are no zones", "at least one, such as `zones = [\"a\"]`");
    }
    for (at, zone) in scenario.cluster.zones.iter().enumerate() {
        zone_name(format!("cluster.zones.{at}"), zone, flaws);
    }
    for (name, values) in &scenario.cluster.attributes {
        let path = format!("cluster.attributes.{name}");
        attribute(&path, name, flaws);
        if values.is_empty() {
            flaws.add(path, format!("attribute `{name}` has no values"), "such as `rack = [\"r1\", \"r2\"]`");
        }
    }
    match node_count(scenario) {
        0 if !(scenario.zookeeper_clients.is_empty() && scenario.recipe_clients.is_empty()) => {
            needless(scenario, flaws);
        }
        0 => flaws.add("cluster.search", "there is nobody but servers", NOBODY),
        count if count > NODES_MAX => {
            let message = format!("{count} search nodes");
            flaws.add("cluster.search", message, format!("at most {NODES_MAX}"));
        }
        _ => {}
    }
    for (at, node) in scenario.nodes.iter().enumerate() {
        for name in node.attributes.keys() {
            attribute(&format!("nodes.{at}.attributes.{name}"), name, flaws);
        }
        if let Some(zone) = &node.zone {
            zone_name(format!("nodes.{at}.zone"), zone, flaws);
        }
        if node.joins_at >= scenario.duration {
            let message = "the node joins when the run is over";
            flaws.add_if_read(
                &["duration"],
                format!("nodes.{at}.joins_at"),
                message,
                "earlier than `duration`",
            );
        }
    }
}

const NOBODY: &str = "at least 1 search node, here or in `[[nodes]]`, or `[[zookeeper_clients]]`";

/// What no search nodes are there for.
fn needless(scenario: &Scenario, flaws: &mut Flaws) {
    let help = "give the cluster `search = 3`, or take it out";
    if !scenario.indices.is_empty() {
        flaws.add_if_read(NODES, "indices.0.name", "an index without search nodes", help);
    }
}

fn attribute(path: &str, name: &str, flaws: &mut Flaws) {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    if name == "zone" {
        flaws.add(path, "a node's zone is no attribute to be set", "write `zone` or `zones` instead");
    } else if name.is_empty() || !name.chars().all(plain) {
        flaws.add(path, format!("`{name}` is not an attribute's name"), "letters, digits, `-` and `_`");
    }
}

fn zone_name(path: String, zone: &str, flaws: &mut Flaws) {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    if zone.is_empty() || !zone.chars().all(plain) {
        flaws.add(path, format!("`{zone}` is not a zone name"), "letters, digits, `-`, `_` and `.`");
    }
}

fn delays(scenario: &Scenario, flaws: &mut Flaws) {
    let links = &scenario.links;
    let named = [
        ("links.within_zone", links.within_zone),
        ("links.between_zones", links.between_zones),
        ("disks.sync", scenario.disks.sync),
    ];
    for (path, spread) in named {
        delay(path, spread, flaws);
    }
    for (at, pair) in links.pairs.iter().enumerate() {
        let path = format!("links.pairs.{at}");
        delay(&path, Spread { min: pair.min, mean: pair.mean, ..Spread::default() }, flaws);
        for (key, host) in [("from", pair.from), ("to", pair.to)] {
            known_host(scenario, format!("{path}.{key}"), host, flaws);
        }
    }
}

fn delay(path: &str, spread: Spread, flaws: &mut Flaws) {
    if spread.min > spread.mean {
        let message = "the least delay is longer than the mean";
        flaws.add(format!("{path}.min"), message, format!("at most the mean, {:?}", spread.mean));
    }
}

/// Whether the host is one of the run's.
pub(super) fn known_host(scenario: &Scenario, path: String, host: HostId, flaws: &mut Flaws) {
    let (count, noun, hinge) = match host.kind {
        HostKind::ZooKeeper => (server_count(scenario), "ZooKeeper server", SERVERS),
        HostKind::Search => (node_count(scenario), "search node", NODES),
        HostKind::Client => (client_count(scenario), "client", CLIENTS),
    };
    if usize::from(host.number) <= count {
        return;
    }
    let kind = host.to_string();
    let kind = kind.trim_end_matches(|char: char| char.is_ascii_digit());
    let help = match count {
        0 => format!("there is no {noun}"),
        1 => format!("there is one {noun}, `{kind}1`"),
        _ => format!("there are {count}: `{kind}1` to `{kind}{count}`"),
    };
    flaws.add_if_read(hinge, path, format!("there is no host `{host}`"), help);
}

//! Selector names — decides how the target of a fault is written. It never resolves one to hosts.

use crate::{
    name::{HostId, HostKind, ShardId},
    scenario::{
        nearest::nearest,
        plan::{Group, Selector},
    },
};

/// The ways to write a selector, with what each means; in the order of the list command.
pub const SELECTORS: [(&str, &str); 16] = [
    ("zk-1, search-2", "this host"),
    ("zk-leader", "the established leader of the newest epoch"),
    ("zk-follower", "the first live server that is not the leader"),
    ("zk-elected", "the server that has last decided to lead, established or not"),
    ("event-host", "the host of the event that the fault waits for"),
    ("zookeeper", "every ZooKeeper server"),
    ("minority(zookeeper)", "fewer than half of the servers, the leader among them"),
    ("majority(zookeeper)", "more than half of the servers, the leader among them"),
    ("controller", "the node that last published as controller"),
    ("primary(index/shard)", "the host of the acting primary"),
    ("replica(index/shard)", "the host of the first started replica"),
    ("search", "every search node"),
    ("zone(name)", "every search node of the zone"),
    ("all", "every ZooKeeper server and search node"),
    ("clients", "every client"),
    (
        "random(search)",
        "one of them that is up; so `zookeeper`, `clients`, `zone(name)` and `all`, which is `any` for short",
    ),
];

const PLAIN: [(&str, Selector); 10] = [
    ("zk-leader", Selector::ZkLeader),
    ("zk-follower", Selector::ZkFollower),
    ("zk-elected", Selector::ZkElected),
    ("event-host", Selector::EventHost),
    ("controller", Selector::Controller),
    ("zookeeper", Selector::AllZooKeeper),
    ("search", Selector::AllSearch),
    ("all", Selector::All),
    ("clients", Selector::Clients),
    ("any", Selector::Random(Group::All)),
];

const WITH_ARGUMENT: [&str; 6] = ["primary", "replica", "zone", "minority", "majority", "random"];

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, selector)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(selector.clone());
        }
        if let Some((function, argument)) = call(text) {
            return with_argument(text, function, argument);
        }
        text.parse::<HostId>().map(Self::Host).map_err(|_| unknown(text))
    }
}

impl Selector {
    /// Whether it can mean one search node, and no more.
    pub fn may_be_one_node(&self) -> bool {
        match self {
            Self::Host(host) => host.kind == HostKind::Search,
            Self::Primary(_) | Self::Replica(_) | Self::Controller | Self::EventHost => true,
            Self::Random(Group::Search | Group::Zone(_)) => true,
            _ => false,
        }
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

/// Splits `primary(articles/0)`.
fn call(text: &str) -> Option<(&str, &str)> {
    let (function, rest) = text.split_once('(')?;
    Some((function.trim(), rest.strip_suffix(')')?.trim()))
}

fn with_argument(text: &str, function: &str, argument: &str) -> Result<Selector, String> {
    match (function, argument) {
        ("primary", _) => shard(text, argument).map(Selector::Primary),
        ("replica", _) => shard(text, argument).map(Selector::Replica),
        ("zone", "") => Err(format!("`{text}` names no zone\nwrite `zone(a)`")),
        ("zone", zone) => Ok(Selector::Zone(zone.to_owned())),
        ("minority", "zookeeper") => Ok(Selector::ZkMinority),
        ("majority", "zookeeper") => Ok(Selector::ZkMajority),
        ("random", _) => group(text, argument).map(Selector::Random),
        ("majority", _) => Err(format!("`{text}` has no quorum\nwrite `majority(zookeeper)`")),
        ("minority", _) => Err(format!("`{text}` has no quorum to be short of\nwrite `minority(zookeeper)`")),
        _ => Err(unknown(text)),
    }
}

fn group(text: &str, argument: &str) -> Result<Group, String> {
    let group = Selector::try_from(argument.to_owned()).ok();
    group.as_ref().and_then(Group::of).ok_or_else(|| {
        format!(
            "`{text}` draws from no group\nvalid: random(search), random(zookeeper), random(clients), \
             random(zone(a)), random(all)"
        )
    })
}

fn shard(text: &str, argument: &str) -> Result<ShardId, String> {
    let canonical = |shard: &ShardId| shard.to_string() == argument;
    argument.parse().ok().filter(canonical).ok_or_else(|| {
        let function = text.split('(').next().unwrap_or_default();
        format!("`{argument}` is not a shard\nwrite index and shard number, such as `{function}(articles/0)`")
    })
}

fn unknown(text: &str) -> String {
    let function = text.split('(').next().unwrap_or_default();
    let plain = PLAIN.iter().map(|(name, _)| *name);
    let near = nearest(function, WITH_ARGUMENT)
        .map(|name| format!("{name}({})", argument_of(name)))
        .filter(|_| text.contains('('))
        .or_else(|| nearest(text, plain).map(str::to_owned));
    let meant = near.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    let all: Vec<&str> = SELECTORS.iter().map(|(name, _)| *name).collect();
    format!("`{text}` is not a selector\n{meant}valid: {}", all.join(", "))
}

fn argument_of(function: &str) -> &'static str {
    match function {
        "minority" | "majority" => "zookeeper",
        "random" => "search",
        "zone" => "a",
        _ => "articles/0",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Selector, String> {
        Selector::try_from(text.to_owned())
    }

    fn selectors() -> impl Strategy<Value = Selector> {
        let host = prop_oneof![
            (1..=u16::MAX).prop_map(HostId::zookeeper),
            (1..=u16::MAX).prop_map(HostId::search),
            (1..=u16::MAX).prop_map(HostId::client),
        ];
        let shard = ("[a-z][a-z0-9_-]{0,12}", any::<u32>())
            .prop_map(|(index, number)| ShardId { index: index.as_str().into(), number });
        prop_oneof![
            host.prop_map(Selector::Host),
            Just(Selector::ZkLeader),
            Just(Selector::ZkFollower),
            Just(Selector::ZkElected),
            Just(Selector::EventHost),
            Just(Selector::Controller),
            shard.clone().prop_map(Selector::Primary),
            shard.prop_map(Selector::Replica),
            "[a-z][a-z0-9-]{0,8}".prop_map(Selector::Zone),
            Just(Selector::AllZooKeeper),
            Just(Selector::AllSearch),
            Just(Selector::ZkMinority),
            Just(Selector::ZkMajority),
            Just(Selector::All),
            Just(Selector::Clients),
            groups().prop_map(Selector::Random),
        ]
    }

    fn groups() -> impl Strategy<Value = Group> {
        prop_oneof![
            Just(Group::All),
            Just(Group::ZooKeeper),
            Just(Group::Search),
            Just(Group::Clients),
            "[a-z][a-z0-9-]{0,8}".prop_map(Group::Zone),
        ]
    }

    proptest! {
        #[test]
        fn selector_round_trips(selector in selectors()) {
            prop_assert_eq!(read(&selector.to_string()), Ok(selector));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            if let Ok(selector) = read(&text) {
                prop_assert_eq!(read(&selector.to_string()), Ok(selector));
            }
        }
    }

    #[test]
    fn misspelt_selector_names_the_nearest() {
        for (text, meant) in [
            ("zk-leeder", "`zk-leader`"),
            ("controler", "`controller`"),
            ("primry(articles/0)", "`primary(articles/0)`"),
            ("minorty(zookeeper)", "`minority(zookeeper)`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(&format!("did you mean {meant}")), "{error}");
        }
    }

    #[test]
    fn shard_without_number_is_explained() {
        let error = read("primary(articles)").unwrap_err();
        assert_eq!(
            error,
            "`articles` is not a shard\nwrite index and shard number, such as `primary(articles/0)`"
        );
    }
}

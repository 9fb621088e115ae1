//! Words — decides what a fault is called, for people. It never decides what it does.

use crate::scenario::{
    bytes,
    plan::{
        CutMode, Direction, DiskFailure, FaultAction, InFlight, LinkKind, PartitionShape, Reconfiguration,
        Selector,
    },
};

/// What a fault is.
pub fn describe(action: &FaultAction) -> String {
    match action {
        FaultAction::Crash { target, power: true } => format!("power loss of {target}"),
        FaultAction::Crash { target, power: false } => format!("crash of {target}"),
        FaultAction::Pause { target } => format!("pause of {target}"),
        FaultAction::Wipe { target } => format!("loss of the disk of {target}"),
        FaultAction::Cut { from, to, direction, links, mode, in_flight } => {
            let where_ = between(from, to.as_ref(), *direction, *links);
            format!("{}cut {where_}{}", adjective(*mode), wire(*in_flight))
        }
        FaultAction::Partition { shape, of, mode, in_flight } => {
            format!("{}partition of {of} into {}{}", adjective(*mode), parts(*shape), wire(*in_flight))
        }
        FaultAction::Slow { from, to, direction, links, delay, .. } => {
            let how = if delay.is_some() { "slow" } else { "narrow" };
            format!("{how} links {}", between(from, to.as_ref(), *direction, *links))
        }
        FaultAction::Expire { target } => format!("end of the session of {target}"),
        FaultAction::Reconfigure { change } => reconfiguration(change),
        FaultAction::Rot { target, files, bits: 1 } => format!("a rotten bit in {files} of {target}"),
        FaultAction::Rot { target, files, bits } => format!("{bits} rotten bits in {files} of {target}"),
        FaultAction::Misdirect { target, files } => format!("a write to {files} of {target} astray"),
        FaultAction::FailDisk { target, files, how } => format!("{} for {files} of {target}", failing(*how)),
        FaultAction::Fill { target, bytes } => {
            format!("{} of the disk of {target} taken up", bytes::show(*bytes))
        }
        FaultAction::SlowDisk { target, .. } => format!("slow disk of {target}"),
        FaultAction::LoseReply { target, to, count } => {
            let to = to.as_ref().map_or("a client".to_owned(), ToString::to_string);
            format!("loss of {count} answer(s) of {target} to {to}")
        }
        FaultAction::Disconnect { target } => format!("loss of the connection to ZooKeeper of {target}"),
        FaultAction::JumpClock { target, by_ms } => format!("jump by {by_ms} ms of the clock of {target}"),
        FaultAction::DriftClock { target, ppm } => format!("drift by {ppm} ppm of the clock of {target}"),
        FaultAction::Heal { what } => format!("heal of {what}"),
    }
}

fn adjective(mode: CutMode) -> &'static str {
    match mode {
        CutMode::Stall => "",
        CutMode::Reset => "resetting ",
        CutMode::Drop => "dropping ",
        CutMode::Hold => "holding ",
    }
}

fn wire(in_flight: InFlight) -> &'static str {
    match in_flight {
        InFlight::Cut => "",
        InFlight::Delivered => ", what is on the wire arrives",
        InFlight::Lost => ", what is on the wire is lost",
    }
}

fn parts(shape: PartitionShape) -> &'static str {
    match shape {
        PartitionShape::Halves => "halves",
        PartitionShape::IsolateOne => "one and the others",
        PartitionShape::Minority => "a minority and the rest",
        PartitionShape::Bridge => "halves with a bridge",
        PartitionShape::Ring => "a ring of majorities",
        PartitionShape::Zones => "zones",
    }
}

fn failing(how: DiskFailure) -> &'static str {
    match how {
        DiskFailure::Read => "failing reads",
        DiskFailure::Write => "failing writes",
        DiskFailure::Full => "a full disk",
        DiskFailure::SyncKept => "failing syncs (kept)",
        DiskFailure::SyncDropped => "failing syncs (dropped)",
    }
}

fn reconfiguration(change: &Reconfiguration) -> String {
    let parts =
        [("joining", &change.joining), ("observing", &change.observing), ("leaving", &change.leaving)];
    let part = |(what, list): &(&str, &Vec<Selector>)| {
        let names: Vec<_> = list.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("{what} {}", names.join(" ")))
    };
    let parts: Vec<_> = parts.iter().filter_map(part).collect();
    format!("reconfiguration: {}", parts.join(", "))
}

fn between(from: &Selector, to: Option<&Selector>, direction: Direction, links: Option<LinkKind>) -> String {
    let way = match direction {
        Direction::Both => "between",
        Direction::Outgoing => "out of",
        Direction::Incoming => "into",
    };
    let to = to.map_or("all others".to_owned(), ToString::to_string);
    let only = match links {
        None => "",
        Some(LinkKind::Zookeeper) => " (links of servers)",
        Some(LinkKind::Nodes) => " (links of nodes)",
        Some(LinkKind::Clients) => " (links of clients)",
        Some(LinkKind::Sessions) => " (links of sessions)",
    };
    format!("{way} {from} and {to}{only}")
}

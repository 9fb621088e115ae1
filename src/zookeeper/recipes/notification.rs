//! Notification — decides in which order notices of a topic reach whoever listens, and who hears that some are
//! gone. It never decides what a notice means.
//!
//! A topic is a persistent znode. Each notice is a persistent sequential child, whose number is its
//! *position*. The topic's own data is the *floor*: notices below it may be gone.
//!
//! # What holds
//!
//! 1. **One order**: positions grow with the transactions that made the notices; every subscriber receives
//!    in that order.
//! 2. **No gaps**: a subscriber that received one notice, and then another, received every notice between them,
//!    or was told [`Delivery::Missed`] first. It may ask for any position to begin with.
//! 3. **At least once**: what [`Publisher::publish`] took is published, unless the process dies. A notice
//!    whose answer was lost is looked for behind a sync before it is published again; a second copy has the
//!    same publisher and number.
//! 4. **Bounded**: about as many notices are kept as publishers retain.
//!
//! # Why
//!
//! A subscriber lists the topic, with a watch, and *then* reads the floor. Events coalesce, but a list is
//! whole: what is at or above its position and not listed either comes later, with a greater number, or was
//! trimmed; a trim raises the floor in the same multi, so the floor read after the list tells (2). A number is
//! drawn when the leader prepares the create, in the order of zxids, and never given twice (1).
//!
//! # What the caller must do
//!
//! Store the position with whatever the notices change, if they are to be handled once after a restart;
//! recognise second copies by publisher and number; choose the retention by the longest absence that is to
//! go unnoticed.

mod publisher;
mod subscription;
mod trimmer;

pub use self::{
    publisher::{Published, Publisher},
    subscription::{Delivery, Notice, Subscription},
    trimmer::Trimmer,
};
use crate::zookeeper::wire::{CreateMode, Data, Op};

/// The operation that publishes one notice on a topic: for whoever writes more than notices, and wants a notice
/// to take effect with the rest of a multi or not at all. `number` is the publisher's own, never used twice.
pub fn publish(topic: &str, publisher: &str, number: u64, data: Data) -> Op {
    let path = format!("{topic}/{}", Name::prefix(publisher, number));
    Op::create(path, data, CreateMode::PersistentSequential)
}

/// The position of the notice at this path, as the answer to [`publish`] tells it.
pub fn position(path: &str) -> Option<i64> {
    Name::parse(path.rsplit('/').next()?).map(|name| name.position)
}

/// What a notice's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    publisher: String,
    number: u64,
    position: i64,
}

impl Name {
    /// How the names of this notice begin.
    fn prefix(publisher: &str, number: u64) -> String {
        format!("{publisher}-{number:010}-m_")
    }

    fn parse(name: &str) -> Option<Self> {
        let (prefix, position) = name.rsplit_once("-m_")?;
        let (publisher, number) = prefix.rsplit_once('-')?;
        Some(Self {
            publisher: publisher.to_owned(),
            number: number.parse().ok()?,
            position: position.parse().ok()?,
        })
    }
}

/// The floor in a topic's data; 0 if nothing was ever trimmed.
fn floor(data: &Data) -> i64 {
    let text = data.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Notices among these names, in the order of positions.
fn sorted(names: &[String]) -> Vec<(i64, &String)> {
    let position = |name: &String| Name::parse(name).map(|parsed| parsed.position);
    let mut notices: Vec<_> = names.iter().filter_map(|name| Some((position(name)?, name))).collect();
    notices.sort();
    notices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_notice_says_who_made_it_and_where_it_stands() {
        let name = format!("{}0000000012", Name::prefix("client-3", 4));
        let parsed = Name { publisher: "client-3".into(), number: 4, position: 12 };
        assert_eq!(Name::parse(&name), Some(parsed));
        assert_eq!(Name::parse("lost+found"), None);
    }

    #[test]
    fn notices_are_ordered_by_position_not_by_publisher() {
        let names = ["a-0000000002-m_0000000009".to_owned(), "b-0000000001-m_0000000003".to_owned()];
        assert_eq!(sorted(&names).iter().map(|(position, _)| *position).collect::<Vec<_>>(), [3, 9]);
    }

    #[test]
    fn topic_without_data_has_no_floor() {
        assert_eq!(floor(&None), 0);
        assert_eq!(floor(&Some(b"17".as_slice().into())), 17);
    }
}

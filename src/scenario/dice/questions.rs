//! Questions — decides which chances a run leaves to the dice, and what each is asked with. It never answers one.

use std::{
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use super::{
    Kind::{self, Below, Flag, Number, Share, Signed, Span},
    Part,
};
use crate::{
    core::FileName,
    name::{HostId, SimTime},
    scenario::duration,
};

/// A question to the dice, asked with a key of type `K`.
#[derive(Debug)]
pub struct Question<K> {
    /// Its name, as scenario files write it.
    pub name: &'static str,
    key: PhantomData<fn(K)>,
}

impl<K> Question<K> {
    const fn new(name: &'static str) -> Self {
        Self { name, key: PhantomData }
    }
}

/// A question as files and lists see it.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What is drawn, in a sentence.
    pub what: &'static str,
    /// What it is asked with: name and kind of each part.
    pub parts: &'static [(&'static str, &'static str)],
    /// What is drawn in a row, as far as it can be fixed.
    pub values: &'static [Kind],
    /// Whether operations come of it, which a plan can list instead.
    pub makes_operations: bool,
    hash: fn(&[Part], &mut dyn Hasher) -> Result<(), usize>,
}

impl Entry {
    /// Hashes the name and what is asked with, as the dice do.
    ///
    /// # Errors
    ///
    /// Which part is missing, too much, or not of its kind.
    pub fn hash(&self, parts: &[Part], mut hasher: impl Hasher) -> Result<(), usize> {
        if parts.len() > self.parts.len() {
            return Err(self.parts.len());
        }
        self.name.hash(&mut hasher);
        (self.hash)(parts, &mut hasher)
    }
}

/// What requests of document clients are drawn apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// Writes.
    Write,
    /// Gets.
    Read,
    /// Searches.
    Search,
}

impl RequestKind {
    /// How many there are.
    pub const COUNT: u32 = 3;
}

/// A type that a part of a key can have.
trait Readable: Hash + Sized {
    const NOUN: &'static str;

    fn read(part: &Part) -> Option<Self>;
}

macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl Readable for $kind {
            const NOUN: &'static str = "a number";

            fn read(part: &Part) -> Option<Self> {
                match part {
                    Part::Number(number) => (*number).try_into().ok(),
                    Part::Text(_) => None,
                }
            }
        })*
    };
}

numbers!(u32, u64, usize);

fn text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        Part::Number(_) => None,
    }
}

impl Readable for HostId {
    const NOUN: &'static str = "a host";

    fn read(part: &Part) -> Option<Self> {
        text(part)?.parse().ok()
    }
}

impl Readable for FileName {
    const NOUN: &'static str = "a file";

    fn read(part: &Part) -> Option<Self> {
        text(part).map(Arc::from)
    }
}

impl Readable for SimTime {
    const NOUN: &'static str = "a time";

    fn read(part: &Part) -> Option<Self> {
        duration::parse(text(part)?).ok().map(|at: Duration| Self::from(at))
    }
}

impl Readable for RequestKind {
    const NOUN: &'static str = "write, read or search";

    fn read(part: &Part) -> Option<Self> {
        match text(part)? {
            "write" => Some(Self::Write),
            "read" => Some(Self::Read),
            "search" => Some(Self::Search),
            _ => None,
        }
    }
}

/// Hashes the part of this place.
fn hash_part<T: Readable>(parts: &[Part], at: usize, hasher: &mut dyn Hasher) -> Result<(), usize> {
    let part = parts.get(at).and_then(T::read).ok_or(at)?;
    part.hash(&mut &mut *hasher);
    Ok(())
}

macro_rules! questions {
    ($(
        #[doc = $what:literal]
        $constant:ident $name:literal ($($part:ident: $kind:ty),+) = [$($value:expr),+], $makes:literal;
    )*) => {
        $(
            #[doc = $what]
            pub const $constant: Question<($($kind,)+)> = Question::new($name);
        )*

        /// Every question there is, by name.
        pub const QUESTIONS: &[Entry] = &[$(Entry {
            name: $name,
            what: $what,
            parts: &[$((stringify!($part), <$kind as Readable>::NOUN)),+],
            values: &[$($value),+],
            makes_operations: $makes,
            hash: |parts, hasher| {
                let mut places = 0..;
                $(hash_part::<$kind>(parts, places.next().unwrap_or_default(), hasher)?;)+
                Ok(())
            },
        }),*];
    };
}

questions! {
    /// A host's clocks: milliseconds that the wall clock is off, drift in parts per million, origin of the monotonic one.
    CLOCK "clock" (host: HostId) = [Signed, Signed, Number], false;
    /// After a loss of power: what became of what was not synced (0 lost, 1 kept, 2 cut, 3 cut and filled with zeros); bytes kept.
    DISK_CRASH "disk.crash" (host: HostId, crash: u64, file: FileName) = [Below(4), Number], false;
    /// After a loss of power: how many of the changes to names of files are kept.
    DISK_JOURNAL "disk.journal" (host: HostId, crash: u64) = [Number], false;
    /// How long a sync takes.
    DISK_SYNC "disk.sync" (host: HostId, nth: u64) = [Span], false;
    /// Of what a listed or drawn request sends: words, and values of fields, by their numbers.
    DOCUMENT "document" (client: HostId, number: u32) = [Number, Number, Number, Number, Number, Number, Number, Number], false;
    /// What a process leaves to chance, such as its election's jitter, is drawn of this number.
    ENTROPY "entropy" (host: HostId, start: u32) = [Number], false;
    /// Which file a disk fault hits, and where.
    FAULT_DISK "fault.disk" (fault: u32, host: HostId) = [Number, Number, Number], false;
    /// How a partition mixes its hosts.
    FAULT_PARTITION "fault.partition" (fault: u32) = [Number, Number, Number, Number, Number, Number, Number, Number], false;
    /// Which of the hosts that `random(…)` leaves it hits.
    FAULT_TARGET "fault.target" (fault: u32) = [Number], false;
    /// How long a packet is on its way; those of a link are counted from 1, of connecting and closing too.
    NET_DELAY "net.delay" (from: HostId, to: HostId, nth: u64) = [Span], false;
    /// How long a sender takes to notice that packets were lost, once a cut is healed.
    NET_GAP "net.gap" (connection: u64, healed: SimTime) = [Span], false;
    /// How long packets that waited for a cut to heal take to be sent again.
    NET_RETRANSMISSION "net.retransmission" (connection: u64, side: usize, healed: SimTime) = [Span], false;
    /// The span until a member's next action of itself.
    RECIPES_ARRIVAL "recipes.arrival" (client: HostId, start: u32, nth: u64) = [Span], true;
    /// Whether a leader's action is to resign; actions count from 2.
    RECIPES_RESIGN "recipes.resign" (client: HostId, start: u32, nth: u64) = [Flag], true;
    /// How long after its time a machine first starts.
    START "start" (host: HostId) = [Span], false;
    /// The span until a client's next request of a kind; the node it asks; the document.
    WORKLOAD "workload" (client: HostId, kind: RequestKind, nth: u64) = [Span, Number, Number], true;
    /// How a request is asked.
    WORKLOAD_OPTIONS "workload.options" (client: HostId, kind: RequestKind, nth: u64) = [Share, Share, Share, Share], true;
    /// Whether a client of ZooKeeper leaves its session to its expiry when all open new ones.
    ZOOKEEPER_ABANDON "zookeeper.abandon" (client: HostId, start: u32, nth: u64) = [Flag], true;
    /// The span until the next burst of a client of ZooKeeper.
    ZOOKEEPER_ARRIVAL "zookeeper.arrival" (client: HostId, start: u32, nth: u64) = [Span], true;
    /// What the library of a client of ZooKeeper leaves to chance is drawn of this number.
    ZOOKEEPER_CLIENT "zookeeper.client" (client: HostId, start: u32, session: u64) = [Number], false;
    /// What a client of ZooKeeper asks, as a share of the weights of the mix; the key it is about; bursts count from 2.
    ZOOKEEPER_OPERATION "zookeeper.operation" (client: HostId, start: u32, burst: u64, nth: u32) = [Share, Number], true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_none_comes_twice() {
        assert!(QUESTIONS.iter().map(|entry| entry.name).is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let entry = QUESTIONS.iter().find(|entry| entry.name == NET_DELAY.name).unwrap();
        let host = |name: &str| Part::Text(name.into());
        let hash = |parts: &[Part]| entry.hash(parts, std::hash::DefaultHasher::new());
        assert_eq!(hash(&[host("zk-1"), host("zk-2"), Part::Number(3)]), Ok(()));
        assert_eq!(hash(&[host("zk-1"), host("zk")]), Err(1));
        assert_eq!(hash(&[host("zk-1"), host("zk-2")]), Err(2));
        assert_eq!(hash(&[host("zk-1"), host("zk-2"), host("zk-3")]), Err(2));
        assert_eq!(hash(&[host("zk-1"), host("zk-2"), Part::Number(3), Part::Number(4)]), Err(3));
    }
}

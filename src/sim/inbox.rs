//! Inbox — decides what a task gets to see next, and wakes it for that. It never looks inside an item.
//!
//! One timer and one task switch an item: the sender arms the receiver's timer itself. `Sleep::reset` takes
//! an exact deadline, where `sleep_until` would round up to a millisecond.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use madsim::time::TimeHandle;

use crate::name::SimTime;

/// Items by the time they are due; equal times in the order of arrival.
#[derive(Debug)]
pub struct Inbox<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    arrivals: u64,
    waker: Option<Waker>,
    armed: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry<T> {
    due: u64,
    arrival: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.arrival) == (other.due, other.arrival)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.arrival).cmp(&(other.due, other.arrival))
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), arrivals: 0, waker: None, armed: BTreeSet::new() }
    }
}

impl<T> Inbox<T> {
    /// Adds an item that the owner may see from `due` on.
    pub fn push(&mut self, time: &TimeHandle, due: SimTime, item: T) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.heap.push(Reverse(Entry { due: due.0, arrival, item }));
        if self.waker.is_some() && self.armed.first().is_none_or(|first| due.0 < *first) {
            self.arm(time, due.0);
        }
    }

    /// Takes everything out, in order.
    pub fn take_all(&mut self) -> Vec<T> {
        let mut entries: Vec<_> = self.heap.drain().map(|Reverse(entry)| entry).collect();
        entries.sort();
        entries.into_iter().map(|entry| entry.item).collect()
    }

    /// Takes out what is meant, due or not, in order, with when it is due.
    pub fn take_if(&mut self, is_meant: impl Fn(&T) -> bool) -> Vec<(SimTime, T)> {
        let (mut taken, left): (Vec<_>, Vec<_>) =
            self.heap.drain().map(|Reverse(entry)| entry).partition(|entry| is_meant(&entry.item));
        self.heap.extend(left.into_iter().map(Reverse));
        taken.sort();
        taken.into_iter().map(|entry| (SimTime(entry.due), entry.item)).collect()
    }

    /// Forgets the task that waited: it is dead.
    pub fn forget_owner(&mut self) {
        self.waker = None;
        self.armed.clear();
    }

    /// The next item that is due, or `None` if `wake` comes first and has come.
    pub fn poll(&mut self, time: &TimeHandle, wake: Option<SimTime>, cx: &Context<'_>) -> Poll<Option<T>> {
        let now = elapsed(time).0;
        let item_due = self.heap.peek().map(|Reverse(entry)| entry.due);
        let wake_due = wake.map(|wake| wake.0);
        match (item_due, wake_due) {
            (Some(item), wake) if item <= now && wake.is_none_or(|wake| item <= wake) => {
                let Reverse(entry) = self.heap.pop().expect("peeked");
                return Poll::Ready(Some(entry.item));
            }
            (_, Some(wake)) if wake <= now => return Poll::Ready(None),
            _ => {}
        }
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        while self.armed.first().is_some_and(|due| *due <= now) {
            self.armed.pop_first();
        }
        if let Some(due) = [item_due, wake_due].into_iter().flatten().min()
            && self.armed.first().is_none_or(|first| due < *first)
        {
            self.arm(time, due);
        }
        Poll::Pending
    }

    fn arm(&mut self, time: &TimeHandle, due: u64) {
        let waker = self.waker.as_ref().expect("only a waiting owner is woken");
        let ahead = due.saturating_sub(elapsed(time).0);
        let mut sleep = time.sleep(Duration::ZERO);
        let mut sleep = Pin::new(&mut sleep);
        sleep.as_mut().reset(time.now_instant() + Duration::from_nanos(ahead));
        if sleep.poll(&mut Context::from_waker(waker)).is_ready() {
            waker.wake_by_ref();
        }
        self.armed.insert(due);
    }
}

/// Simulated time since the start of the run.
pub fn elapsed(time: &TimeHandle) -> SimTime {
    SimTime::from(time.elapsed())
}

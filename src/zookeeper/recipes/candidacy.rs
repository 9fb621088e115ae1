//! Candidacy — decides whether this session leads an election. It never decides what a leader may do: that
//! takes an epoch (`counter`), since a ticket alone does not stop a leader that slept through its session's end.

use super::{Meaning, Turn};
use crate::{
    name::SessionId,
    zookeeper::{
        client::{Client, ClientNews},
        wire::{CreateMode, Op, Reply, ZkError},
    },
};

/// What a candidate learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Our ticket is the lowest: we lead.
    Leading,
    /// We do not lead any more: the ticket or the session is gone.
    Lost,
}

/// Candidacy by sequential ephemeral tickets: the lowest one leads, every other one watches only its
/// predecessor, so that one death wakes one candidate.
///
/// A ticket's name begins with its session's id: a create whose answer was lost is found again by that, and a
/// second ticket of the same session is given back.
#[derive(Debug)]
pub struct Candidacy {
    path: String,
    turn: Turn,
    step: Step,
    watched: String,
    leading: bool,
}

/// What the request under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    List,
    Create,
    GiveBack,
    Watch,
}

impl Candidacy {
    /// A candidacy below this znode.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), turn: Turn::Off, step: Step::List, watched: String::new(), leading: false }
    }

    /// Begins to stand, in a new session.
    pub fn begin(&mut self, client: &mut Client) {
        self.leading = false;
        self.list(client);
    }

    /// Gives the ticket back and stands again, at the end of the queue.
    pub fn withdraw(&mut self, client: &mut Client) {
        if self.leading && self.turn.is_on() {
            self.leading = false;
            self.give_back(client, self.watched.clone());
        }
    }

    /// Takes a piece of news; returns a change of standing.
    pub fn news(&mut self, client: &mut Client, news: &ClientNews) -> Option<Standing> {
        match self.turn.take(news) {
            Meaning::Back => self.list(client),
            Meaning::Answer(result) => return self.answered(client, result),
            Meaning::Nothing if self.turn.is_woken(news, &self.watched) => self.list(client),
            Meaning::Nothing => {}
        }
        match news {
            ClientNews::State(state) if state.is_over() => self.led_until_now(),
            _ => None,
        }
    }

    fn led_until_now(&mut self) -> Option<Standing> {
        std::mem::take(&mut self.leading).then_some(Standing::Lost)
    }

    fn ask(&mut self, client: &mut Client, step: Step, op: Op) {
        self.step = step;
        self.turn.ask(client, op);
    }

    fn list(&mut self, client: &mut Client) {
        self.ask(client, Step::List, Op::GetChildren { path: self.path.clone(), watch: false });
    }

    fn create(&mut self, client: &mut Client, session: SessionId) {
        let path = format!("{}/{}", self.path, prefix(session));
        let mode = CreateMode::EphemeralSequential;
        self.ask(client, Step::Create, Op::create(path, None, mode));
    }

    fn give_back(&mut self, client: &mut Client, path: String) {
        self.ask(client, Step::GiveBack, Op::Delete { path, version: -1 });
    }

    fn watch(&mut self, client: &mut Client, name: &str) {
        self.watched = format!("{}/{name}", self.path);
        self.ask(client, Step::Watch, Op::Exists { path: self.watched.clone(), watch: true });
    }

    fn answered(&mut self, client: &mut Client, result: Result<Reply, ZkError>) -> Option<Standing> {
        match (self.step, result) {
            (Step::List, Ok(Reply::Children { names, .. })) => return self.listed(client, &names),
            (Step::Create | Step::GiveBack, Ok(_) | Err(ZkError::NoNode)) => self.list(client),
            (Step::Watch, Ok(_)) => {}
            (Step::Watch, Err(ZkError::NoNode)) => self.list(client),
            _ => self.turn = Turn::Interrupted,
        }
        None
    }

    fn listed(&mut self, client: &mut Client, names: &[String]) -> Option<Standing> {
        let session = client.session()?;
        let mut tickets: Vec<(i64, &String)> =
            names.iter().filter_map(|name| Some((sequence(name)?, name))).collect();
        tickets.sort();
        let is_ours = |name: &str| name.starts_with(&prefix(session));
        let ours: Vec<usize> = (0..tickets.len()).filter(|at| is_ours(tickets[*at].1)).collect();
        match ours[..] {
            [] => self.create(client, session),
            [_, second, ..] => self.give_back(client, format!("{}/{}", self.path, tickets[second].1)),
            [0] => {
                self.watch(client, tickets[0].1);
                return (!std::mem::replace(&mut self.leading, true)).then_some(Standing::Leading);
            }
            [at] => self.watch(client, tickets[at - 1].1),
        }
        self.led_until_now()
    }
}

/// How the names of a session's tickets begin.
fn prefix(session: SessionId) -> String {
    format!("{:016x}-n_", session.0)
}

/// The number that ZooKeeper has appended to a ticket's name.
pub(super) fn sequence(name: &str) -> Option<i64> {
    name.rsplit_once("-n_")?.1.parse().ok()
}

//! Obedience — decides how an order changes the ensemble, and what is answered. It never reads an order.

use super::{
    ensemble::Ensemble,
    member::{Life, Member},
    order::{HELP, Order},
    words::mode_name,
};
use crate::{core::CloseReason, name::HostId};

impl Ensemble {
    /// Carries an order out; what is answered.
    pub(super) fn obey(&mut self, line: &str) -> String {
        match line.parse().and_then(|order| self.carry_out_order(order)) {
            Ok(said) => said + "ok",
            Err(error) => format!("error: {error}"),
        }
    }

    fn carry_out_order(&mut self, order: Order) -> Result<String, String> {
        match order {
            Order::Crash(host) => self.end(host, "it was killed", CloseReason::Reset)?,
            Order::Stop(host) => self.end(host, "it was stopped", CloseReason::Closed)?,
            Order::Start(host) => self.start_again(host)?,
            Order::Pause(host) => self.pause(host)?,
            Order::Resume(host) => self.resume(host)?,
            Order::Cut(one, other) if one == other => return Err(format!("{one} has no link to itself")),
            Order::Cut(one, other) => {
                self.known(one)?;
                self.known(other)?;
                self.links.cut(one, other);
            }
            Order::Isolate(host) => {
                self.known(host)?;
                let others = self.members.0.iter().map(|member| member.host).filter(|other| *other != host);
                others.for_each(|other| self.links.cut(host, other));
            }
            Order::Heal => self.links.heal(),
            Order::Status => return Ok(self.report()),
            Order::Help => return Ok(format!("{HELP}\n")),
        }
        Ok(String::new())
    }

    fn known(&self, host: HostId) -> Result<usize, String> {
        let count = self.members.0.len();
        let names = if count == 1 { "zk-1".into() } else { format!("zk-1 to zk-{count}") };
        self.members.index(host).ok_or_else(|| format!("there is no {host}: there is {names}"))
    }

    fn end(&mut self, host: HostId, why: &str, seen_as: CloseReason) -> Result<(), String> {
        let at = self.known(host)?;
        if let Life::Down(why) = &self.members.0[at].life {
            return Err(format!("{host} does not run: {why}"));
        }
        self.take_down(at, why, seen_as);
        Ok(())
    }

    fn start_again(&mut self, host: HostId) -> Result<(), String> {
        let at = self.known(host)?;
        match self.members.0[at].life {
            Life::Down(_) => self.boot(at).map_err(|error| error.trim_start_matches("error: ").to_owned()),
            Life::Running(_) | Life::Paused(_) => Err(format!("{host} runs")),
        }
    }

    fn pause(&mut self, host: HostId) -> Result<(), String> {
        let at = self.known(host)?;
        self.change_life(at, |host, life| match life {
            Life::Running(server) => (Life::Paused(server), Ok(())),
            Life::Paused(_) => (life, Err(format!("{host} is held already"))),
            Life::Down(_) => (life, Err(format!("{host} does not run"))),
        })
    }

    fn resume(&mut self, host: HostId) -> Result<(), String> {
        let at = self.known(host)?;
        self.change_life(at, |host, life| match life {
            Life::Paused(server) => (Life::Running(server), Ok(())),
            _ => (life, Err(format!("{host} is not held"))),
        })?;
        self.resumed(at);
        Ok(())
    }

    fn change_life(
        &mut self,
        at: usize,
        change: impl FnOnce(HostId, Life) -> (Life, Result<(), String>),
    ) -> Result<(), String> {
        let Member { host, life, .. } = &mut self.members.0[at];
        let (next, result) = change(*host, std::mem::replace(life, Life::Down(String::new())));
        *life = next;
        result
    }

    fn report(&self) -> String {
        let lines = (0..).zip(&self.members.0).map(|(at, member)| self.line(at, member));
        let cuts = self.links.cuts().map(|(one, other)| format!("{one} and {other} are cut off\n"));
        lines.chain(cuts).collect()
    }

    fn line(&self, at: usize, member: &Member) -> String {
        let Member { host, address, life, .. } = member;
        let state = match life {
            Life::Down(why) => format!("down: {why}"),
            Life::Running(server) | Life::Paused(server) => {
                let status = server.status();
                let mode = status.mode.map_or("looking", mode_name);
                let held = if matches!(life, Life::Paused(_)) { " (held)" } else { "" };
                format!("{mode}{held}, zxid {}, {} clients", status.zxid, self.clients(at))
            }
        };
        format!("{host} {address} {state}\n")
    }
}

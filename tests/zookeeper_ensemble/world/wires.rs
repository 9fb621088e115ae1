//! Wires — decides when messages arrive and how connections begin and end.

use super::*;

impl World {
    pub(super) fn send(&mut self, from: End, message: Message) {
        let Some(link) = self.links.get_mut(&from) else { return };
        if let Some(waiting) = &mut link.waiting {
            return waiting.push(message);
        }
        let extra = self.jitter.as_mut().map_or(0, |jitter| jitter.draw() % (6 * LATENCY));
        link.busy_until = link.busy_until.max(self.now + LATENCY + extra);
        let (to, at) = (link.peer, link.busy_until);
        self.at(at, Due::Arrive { from: from.0, to, message });
    }

    pub(super) fn end_link(&mut self, end: End, reason: CloseReason) {
        if let Some(link) = self.links.remove(&end)
            && link.waiting.is_none()
        {
            let at = link.busy_until.max(self.now + LATENCY);
            self.at(at, Due::Ended { to: link.peer, reason });
        }
    }

    pub(super) fn ended(&mut self, to: End, reason: CloseReason) {
        if self.links.remove(&to).is_some() {
            self.input(to.0, Input::Closed { conn: to.1, reason });
        }
    }

    pub(super) fn input(&mut self, id: HostId, input: Input<Message>) {
        if id == CLIENT {
            return self.client_input(input);
        }
        let incarnation = self.hosts[&id].incarnation;
        self.step(id, incarnation, input);
    }

    pub(super) fn dialled(&mut self, from: End, to: HostId, port: Port) {
        if !self.links.contains_key(&from) {
            return;
        }
        if !self.runs(to) {
            self.links.remove(&from);
            return self.input(from.0, Input::Closed { conn: from.1, reason: CloseReason::Refused });
        }
        let host = self.hosts.get_mut(&to).expect("a host");
        let accepted = ConnId(host.next_conn + 1);
        host.next_conn += 2;
        self.links.insert((to, accepted), Link { peer: from, waiting: None, busy_until: 0 });
        let link = self.links.get_mut(&from).expect("just seen");
        link.peer = (to, accepted);
        let waiting = link.waiting.take().unwrap_or_default();
        self.input(to, Input::Accepted { conn: accepted, from: from.0, port });
        for message in waiting {
            self.send(from, message);
        }
        if self.links.contains_key(&from) {
            self.input(from.0, Input::Connected { conn: from.1 });
        }
    }

    pub(super) fn arrive(&mut self, to: End, message: Message) {
        if self.links.contains_key(&to) {
            self.input(to.0, Input::Received { conn: to.1, message });
        }
    }

    /// A message that nobody sent arrives on some connection of a server, or on a new one.
    pub(crate) fn forge(&mut self, pick: u64, message: Message) {
        let ends: Vec<End> = self.links.keys().filter(|end| end.0 != CLIENT).copied().collect();
        if let Some(end) = ends.get(pick as usize % ends.len().max(1)) {
            self.arrive(*end, message);
        }
    }
}

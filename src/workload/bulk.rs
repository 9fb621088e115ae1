//! Several — decides which writes or gets a workload sends in one request, and records each as the request that
//! it is. It never lets the outcome of one speak for another.

use serde_json::{Value, json};

use super::{
    documents::{Stream, write_options},
    history::{self, Asked, Source},
    sources,
};
use crate::{
    event::DocOp,
    scenario::{load::WriteKind, operations::Operation},
    search::api::{
        ApiAnswer, ApiCall, BulkAnswer, BulkRequest, GetRequest, MultiGetAnswer, MultiGetRequest,
        WriteOptions,
    },
    sim::{client::CallError, dice::Die},
};

/// The number of an item's request, and whether its document is to be given an id.
type Item = (u64, bool);

impl Stream {
    /// Writes of the mix, deletes among them, in one request. What would need an answer before it (`cas`) is a plain
    /// index here.
    pub(super) async fn bulk(&self, operation: &Operation) {
        let mut die = self.die(operation);
        let (mut items, mut body) = (Vec::new(), String::new());
        for request in self.requests(operation) {
            let (asked, lines) = self.item(operation, request, &mut die);
            body.push_str(&lines);
            items.push((request, asked.op == DocOp::Add));
            self.client.record(history::invoked(request, asked));
        }
        let WriteOptions { refresh, wait_for_active_shards, timeout, .. } =
            write_options(&operation.parameters);
        let (index, routing) = (Some(self.index_name()), None);
        let call = BulkRequest { index, body, routing, refresh, wait_for_active_shards, timeout };
        self.call_several(operation, &items, ApiCall::Bulk(call)).await;
    }

    fn requests(&self, operation: &Operation) -> impl Iterator<Item = u64> + use<> {
        let first = operation.request();
        (0..u64::from(operation.items)).map(move |nth| first + nth)
    }

    fn item(&self, operation: &Operation, request: u64, die: &mut Die) -> (Asked, String) {
        let id = self.id(die);
        let parameters = joined("_bulk", &operation.parameters);
        let index = self.index_name();
        if die.chance(self.plan.delete_ratio) {
            let parameters = self.with_routing(&parameters, &id);
            let line = format!("{}\n", json!({ "delete": self.named(&id) }));
            return (Asked { index, id, op: DocOp::Delete, source: None, parameters }, line);
        }
        let version = u64::from(operation.number) + 1;
        let (id, op) = match self.plan.write_mix.kind_at(die.unit()) {
            WriteKind::Index | WriteKind::Cas => (id, DocOp::Index),
            WriteKind::Create => (id, DocOp::Create),
            WriteKind::External => (format!("ext-{id}"), DocOp::External { version }),
            WriteKind::ExternalGte => (format!("ext-{id}"), DocOp::ExternalGte { version }),
            WriteKind::Update => (id, DocOp::Update),
            WriteKind::Add => (String::new(), DocOp::Add),
        };
        let source = sources::draw(&id, request, self.making(), die);
        let source = if op == DocOp::Update { sources::merged(source) } else { source };
        let (parameters, lines) = (self.with_routing(&parameters, &id), lines(self.named(&id), op, &source));
        (Asked { index, id, op, source: Some(source), parameters }, lines)
    }

    /// What the line of an item says of its document.
    fn named(&self, id: &str) -> Value {
        match self.routing(id) {
            Some(routing) => json!({ "_id": id, "routing": routing }),
            None => json!({ "_id": id }),
        }
    }

    async fn call_several(&self, operation: &Operation, items: &[Item], call: ApiCall) {
        let (id, node) = (operation.envelope(), operation.node);
        let result = self.client.call_as(id, node, call, self.plan.timeout).await;
        for (nth, (request, is_drawn)) in items.iter().enumerate() {
            let event = match &result {
                Ok(ApiAnswer::Bulk(BulkAnswer { items })) => match &items[nth].result {
                    Ok(done) => history::written(*request, *is_drawn, done),
                    Err(error) => history::refused(*request, error),
                },
                Ok(ApiAnswer::GotSeveral(MultiGetAnswer { items })) => match &items[nth] {
                    Ok(answer) => history::got(*request, answer),
                    Err(failed) => history::refused(*request, &failed.error),
                },
                Ok(_) => history::failed(*request, &CallError::Lost),
                Err(error) => history::failed(*request, error),
            };
            self.client.record(event);
        }
    }

    /// Gets in one request.
    pub(super) async fn several(&self, operation: &Operation) {
        let mut die = self.die(operation);
        let (mut items, mut gets) = (Vec::new(), Vec::new());
        for request in self.requests(operation) {
            let (index, id, op, source) = (self.index_name(), self.id(&mut die), DocOp::Get, None);
            gets.push(GetRequest { routing: self.routing(&id), ..GetRequest::new(index.clone(), &*id) });
            items.push((request, false));
            let parameters = self.with_routing("_mget", &id);
            self.client.record(history::invoked(request, Asked { index, id, op, source, parameters }));
        }
        self.call_several(operation, &items, ApiCall::MultiGet(MultiGetRequest { items: gets })).await;
    }
}

fn joined(first: &str, rest: &str) -> String {
    if rest.is_empty() { first.to_owned() } else { format!("{first}&{rest}") }
}

/// The lines of an item that sends a document.
fn lines(named: Value, op: DocOp, source: &Source) -> String {
    let text = source.text.clone();
    let versioned = |version: u64, kind: &str| {
        let mut meta = json!({ "index": named });
        (meta["index"]["version"], meta["index"]["version_type"]) = (version.into(), kind.into());
        meta
    };
    let (meta, text) = match op {
        DocOp::Add => (json!({ "index": {} }), text),
        DocOp::Create => (json!({ "create": named }), text),
        DocOp::Update => {
            let doc: Value = serde_json::from_str(&text).expect("a document is JSON");
            (json!({ "update": named }), json!({ "doc": doc, "doc_as_upsert": true }).to_string())
        }
        DocOp::External { version } => (versioned(version, "external"), text),
        DocOp::ExternalGte { version } => (versioned(version, "external_gte"), text),
        _ => (json!({ "index": named }), text),
    };
    format!("{meta}\n{text}\n")
}

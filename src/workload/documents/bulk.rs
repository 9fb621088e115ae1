//! Several — decides which writes or gets a workload sends in one request, and records each as the request that
//! it is. It never lets the outcome of one speak for another.

use serde_json::{Value, json};

use super::{Asked, Dice, Stream, sources::Source, told};
use crate::{
    event::DocOp,
    name::HostId,
    scenario::load::WriteKind,
    search::api::{
        ApiAnswer, ApiCall, BulkAnswer, BulkRequest, GetRequest, MultiGetAnswer, MultiGetRequest,
        WriteOptions,
    },
    sim::client::CallError,
};

impl Stream {
    /// Writes of the mix, deletes among them, in one request. What would need an answer before it (`cas`) is a plain
    /// index here.
    pub(super) async fn bulk(self, node: HostId, mut dice: Dice) {
        let (options, parameters) = self.options(&mut dice.options);
        let parameters = joined("_bulk", &parameters);
        let mut items = Vec::new();
        let mut body = String::new();
        for _ in 0..self.plan.options.bulk_size {
            let request = self.client.take_request();
            let (asked, lines) = self.item(request, &parameters, &mut dice);
            body.push_str(&lines);
            items.push((request, asked.op == DocOp::Add));
            self.invoked(request, asked);
        }
        let WriteOptions { refresh, wait_for_active_shards, timeout, .. } = options;
        let (index, routing) = (Some(self.index_name()), None);
        let call = BulkRequest { index, body, routing, refresh, wait_for_active_shards, timeout };
        let result = self.client.call(node, ApiCall::Bulk(call), self.plan.timeout).await;
        self.ended(&items, &result);
    }

    fn item(&self, request: u64, parameters: &str, dice: &mut Dice) -> (Asked, String) {
        let die = &mut dice.content;
        let id = self.id(die);
        let parameters = parameters.to_owned();
        if die.chance(self.plan.delete_ratio) {
            let line = format!("{}\n", json!({ "delete": { "_id": id } }));
            return (Asked { id, op: DocOp::Delete, source: None, parameters }, line);
        }
        let kind = self.plan.write_mix.kind_at(die.unit());
        let (id, op) = match kind {
            WriteKind::Index | WriteKind::Cas => (id, DocOp::Index),
            WriteKind::Create => (id, DocOp::Create),
            WriteKind::External => (format!("ext-{id}"), DocOp::External { version: sequel(request) }),
            WriteKind::ExternalGte => (format!("ext-{id}"), DocOp::ExternalGte { version: sequel(request) }),
            WriteKind::Update => (id, DocOp::Update),
            WriteKind::Add => (String::new(), DocOp::Add),
        };
        let source = self.source(&id, request, die);
        let source = if op == DocOp::Update { source.merged() } else { source };
        let lines = lines(&id, op, &source);
        (Asked { id, op, source: Some(source), parameters }, lines)
    }

    fn ended(&self, items: &[(u64, bool)], result: &Result<ApiAnswer, CallError>) {
        for (nth, (request, is_drawn)) in items.iter().enumerate() {
            let event = match result {
                Ok(ApiAnswer::Bulk(BulkAnswer { items })) => match &items[nth].result {
                    Ok(done) => told::written(*request, *is_drawn, done),
                    Err(error) => told::refused(*request, error),
                },
                Ok(ApiAnswer::GotSeveral(MultiGetAnswer { items })) => match &items[nth] {
                    Ok(answer) => told::got(*request, answer),
                    Err(failed) => told::refused(*request, &failed.error),
                },
                Ok(_) => told::failed(*request, &CallError::Lost),
                Err(error) => told::failed(*request, error),
            };
            self.client.record(event);
        }
    }

    /// Gets in one request.
    pub(super) async fn several(self, node: HostId, mut dice: Dice) {
        let mut items = Vec::new();
        let mut gets = Vec::new();
        for _ in 0..self.plan.options.bulk_size {
            let (request, id) = (self.client.take_request(), self.id(&mut dice.content));
            gets.push(GetRequest::new(self.index_name(), &*id));
            items.push((request, false));
            self.invoked(request, Asked::get(id, "_mget"));
        }
        let call = ApiCall::MultiGet(MultiGetRequest { items: gets });
        let result = self.client.call(node, call, self.plan.timeout).await;
        self.ended(&items, &result);
    }
}

fn joined(first: &str, rest: &str) -> String {
    if rest.is_empty() { first.to_owned() } else { format!("{first}&{rest}") }
}

fn sequel(request: u64) -> u64 {
    (request & u64::from(u32::MAX)) + 1
}

/// The lines of an item that sends a document.
fn lines(id: &str, op: DocOp, source: &Source) -> String {
    let text: &str = &source.text;
    let (meta, source) = match op {
        DocOp::Add => (json!({ "index": {} }), text.to_owned()),
        DocOp::Create => (json!({ "create": { "_id": id } }), text.to_owned()),
        DocOp::Update => {
            let doc: Value = serde_json::from_str(text).expect("a document is JSON");
            (json!({ "update": { "_id": id } }), json!({ "doc": doc, "doc_as_upsert": true }).to_string())
        }
        DocOp::External { version } => {
            let meta = json!({ "_id": id, "version": version, "version_type": "external" });
            (json!({ "index": meta }), text.to_owned())
        }
        DocOp::ExternalGte { version } => {
            let meta = json!({ "_id": id, "version": version, "version_type": "external_gte" });
            (json!({ "index": meta }), text.to_owned())
        }
        _ => (json!({ "index": { "_id": id } }), text.to_owned()),
    };
    format!("{meta}\n{source}\n")
}

//! Document writes — decides what one write of a workload is and how it is asked. It never sends several at once.

use std::time::Duration;

use super::{
    Asked, Dice, Stream,
    sources::{Making, Source},
};
use crate::{
    event::DocOp,
    name::HostId,
    scenario::load::WriteKind,
    search::api::{
        ActiveShards, ApiAnswer, ApiCall, DeleteRequest, GetAnswer, GetRequest, IndexRequest, OpType,
        RefreshPolicy, UpdateRequest, VersionType, WriteOptions,
    },
    sim::{client::CallError, dice::Die},
};

/// How long a write waits that asks for more active copies than there may be.
const PATIENCE: Duration = Duration::from_secs(1);

impl Stream {
    /// A write of the mix.
    pub(super) async fn write(self, node: HostId, id: String, mut dice: Dice) {
        let kind = self.plan.write_mix.kind_at(dice.content.unit());
        let version = self.version(&mut dice.content);
        match kind {
            WriteKind::Index => self.index(node, id, DocOp::Index, dice).await,
            WriteKind::Create => self.index(node, id, DocOp::Create, dice).await,
            WriteKind::Cas => self.change(node, id, dice).await,
            WriteKind::External => {
                self.index(node, format!("ext-{id}"), DocOp::External { version }, dice).await;
            }
            WriteKind::ExternalGte => {
                self.index(node, format!("ext-{id}"), DocOp::ExternalGte { version }, dice).await;
            }
            WriteKind::Update => self.update(node, id, dice).await,
            WriteKind::Add => self.add(node, dice).await,
        }
    }

    /// A version of the client's own: they grow from write to write, but for a few.
    fn version(&self, die: &mut Die) -> u64 {
        let next = (self.client.next_request() & u64::from(u32::MAX)) + 1;
        next.saturating_sub(die.below(6).saturating_sub(3)).max(1)
    }

    /// Get, change, and index unless somebody else was faster.
    async fn change(self, node: HostId, id: String, dice: Dice) {
        let call = ApiCall::Get(GetRequest::new(self.index_name(), &*id));
        let result = self.document(node, Asked::get(id.clone(), ""), call).await;
        let Ok(ApiAnswer::Got(GetAnswer { doc, .. })) = result else { return };
        let op = doc.map_or(DocOp::Create, |doc| DocOp::Cas { seq_no: doc.seq_no, term: doc.term });
        self.index(node, id, op, dice).await;
    }

    async fn index(self, node: HostId, id: String, op: DocOp, mut dice: Dice) {
        let source = self.source(&id, self.client.next_request(), &mut dice.content);
        let (options, parameters) = self.options(&mut dice.options);
        let request = self.index_request(&id, op, &source, options);
        let asked = Asked { id, op, source: Some(source), parameters };
        let _ = self.document(node, asked, ApiCall::Index(request)).await;
    }

    /// The request for a write that puts a whole document.
    pub(super) fn index_request(
        &self,
        id: &str,
        op: DocOp,
        source: &Source,
        options: WriteOptions,
    ) -> IndexRequest {
        let mut request = IndexRequest::new(self.index_name(), id, source.text.clone());
        let version = |version| i64::try_from(version).ok();
        request.options = options;
        match op {
            DocOp::Add => request.id = None,
            DocOp::Create => request.op_type = OpType::Create,
            DocOp::Cas { seq_no, term } => {
                let WriteOptions { if_seq_no, if_primary_term, .. } =
                    WriteOptions::if_last_changed_by(seq_no, term);
                (request.options.if_seq_no, request.options.if_primary_term) = (if_seq_no, if_primary_term);
            }
            DocOp::External { version: it } => {
                (request.options.version, request.options.version_type) =
                    (version(it), VersionType::External);
            }
            DocOp::ExternalGte { version: it } => {
                (request.options.version, request.options.version_type) =
                    (version(it), VersionType::ExternalGte);
            }
            DocOp::Index | DocOp::Update | DocOp::Delete | DocOp::Get => {}
        }
        request
    }

    async fn update(self, node: HostId, id: String, mut dice: Dice) {
        let source = self.source(&id, self.client.next_request(), &mut dice.content).merged();
        let (options, parameters) = self.options(&mut dice.options);
        let request = self.update_request(&id, &source, options);
        let asked = Asked { id, op: DocOp::Update, source: Some(source), parameters };
        let _ = self.document(node, asked, ApiCall::Update(request)).await;
    }

    /// The request for an update that puts the document if there is none.
    pub(super) fn update_request(&self, id: &str, source: &Source, options: WriteOptions) -> UpdateRequest {
        let request = UpdateRequest::new(self.index_name(), id, source.text.clone());
        UpdateRequest { upsert: Some(source.text.clone()), options, ..request }
    }

    /// A document without an id; if the answer is lost, perhaps the same once more, to any node.
    async fn add(self, node: HostId, mut dice: Dice) {
        let source = self.source("", self.client.next_request(), &mut dice.content);
        let (options, parameters) = self.options(&mut dice.options);
        let tries_again = dice.options.chance(self.plan.options.retry);
        let other = self.nodes[dice.options.below(self.nodes.len() as u64) as usize];
        let first = self.add_once(node, &source, options.clone(), parameters.clone()).await;
        if tries_again && matches!(first, Err(CallError::Lost | CallError::TimedOut)) {
            let _ = self.add_once(other, &source, options, parameters).await;
        }
    }

    async fn add_once(
        &self,
        node: HostId,
        source: &Source,
        options: WriteOptions,
        parameters: String,
    ) -> Result<ApiAnswer, CallError> {
        let request = self.index_request("", DocOp::Add, source, options);
        let (id, op, source) = (String::new(), DocOp::Add, Some(source.clone()));
        self.document(node, Asked { id, op, source, parameters }, ApiCall::Index(request)).await
    }

    pub(super) async fn delete(self, node: HostId, id: String, mut dice: Dice) {
        let (options, parameters) = self.options(&mut dice.options);
        let request = DeleteRequest { options, ..DeleteRequest::new(self.index_name(), &*id) };
        let asked = Asked { id, op: DocOp::Delete, source: None, parameters };
        let _ = self.document(node, asked, ApiCall::Delete(request)).await;
    }

    pub(super) fn source(&self, id: &str, request: u64, die: &mut Die) -> Source {
        let making = Making { bytes: self.plan.document_bytes, fields: self.plan.fields };
        Source::draw(id, request, making, die)
    }

    /// What a write takes beside its document, as the shares of the plan have it, and as the record tells it.
    pub(super) fn options(&self, die: &mut Die) -> (WriteOptions, String) {
        let shares = &self.plan.options;
        let (mut options, mut told) = (WriteOptions::default(), Vec::new());
        if die.chance(shares.refresh) {
            options.refresh = RefreshPolicy::Immediate;
            told.push("refresh=true");
        } else if die.chance(shares.wait_for) {
            options.refresh = RefreshPolicy::WaitFor;
            told.push("refresh=wait_for");
        }
        if die.chance(shares.active_shards) {
            (options.wait_for_active_shards, options.timeout) = (Some(ActiveShards::All), Some(PATIENCE));
            told.push("wait_for_active_shards=all&timeout=1s");
        }
        (options, told.join("&"))
    }
}

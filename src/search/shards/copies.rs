//! Copies — decides how a node's other parts use the copies that serve on it. It never says which copies those
//! are.

use super::{ReadCall, SearchAsk, SearchServed, ShardNews, ShardRefusal, Shards, Step, WriteCall};
use crate::{
    name::{AllocationId, ShardId, Term},
    search::transport::Ctx,
};

/// The copies on this node, as far as they serve.
pub trait Copies {
    /// Writes for the primary `allocation` in `term`, in this order; each ends in [`ShardNews::Write`] with its token.
    fn write(
        &mut self,
        ctx: &mut Ctx<'_>,
        shard: &ShardId,
        allocation: AllocationId,
        term: Term,
        calls: Vec<(u64, WriteCall)>,
    );

    /// A get from this node's active copy; ends in [`ShardNews::Get`] with this token.
    fn get(&mut self, ctx: &mut Ctx<'_>, token: u64, shard: &ShardId, call: &ReadCall);

    /// Makes every operation searchable on all copies, if the primary is here; ends in [`ShardNews::Refresh`] with
    /// this token.
    fn refresh(&mut self, ctx: &mut Ctx<'_>, token: u64, shard: &ShardId);

    /// One round of a search on this node's active copy, as of its last refresh.
    ///
    /// # Errors
    ///
    /// If there is no active copy here, or it fails.
    fn search(
        &mut self,
        ctx: &mut Ctx<'_>,
        shard: &ShardId,
        ask: &SearchAsk,
    ) -> Result<SearchServed, ShardRefusal>;
}

impl Copies for Shards {
    fn write(
        &mut self,
        ctx: &mut Ctx<'_>,
        shard: &ShardId,
        allocation: AllocationId,
        term: Term,
        calls: Vec<(u64, WriteCall)>,
    ) {
        let mut step = Step { ctx, desk: &mut self.desk };
        match self.copies.get_mut(&(shard.clone(), allocation)) {
            Some(copy) => copy.write(&mut step, term, calls),
            None => {
                let refused = || Err(ShardRefusal::NotHere { certain: true });
                let news = calls.into_iter().map(|(token, _)| ShardNews::Write { token, result: refused() });
                self.desk.news.extend(news);
            }
        }
    }

    fn get(&mut self, ctx: &mut Ctx<'_>, token: u64, shard: &ShardId, call: &ReadCall) {
        match self.serving(ctx, shard) {
            Ok((copy, mut step)) => copy.get(&mut step, token, call),
            Err(refusal) => self.desk.news.push(ShardNews::Get { token, result: Err(refusal) }),
        }
    }

    fn refresh(&mut self, ctx: &mut Ctx<'_>, token: u64, shard: &ShardId) {
        match self.serving(ctx, shard) {
            Ok((copy, mut step)) => copy.refresh_group(&mut step, token),
            Err(refusal) => self.desk.news.push(ShardNews::Refresh { token, result: Err(refusal) }),
        }
    }

    fn search(
        &mut self,
        ctx: &mut Ctx<'_>,
        shard: &ShardId,
        ask: &SearchAsk,
    ) -> Result<SearchServed, ShardRefusal> {
        let (copy, mut step) = self.serving(ctx, shard)?;
        copy.search(&mut step, ask)
    }
}

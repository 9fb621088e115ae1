//! Copies — decides how a node's other parts use the copies that serve on it. It never says which copies those
//! are.

use super::{ReadCall, SearchAsk, SearchServed, ShardNews, ShardRefusal, Shards, Step, WriteCall};
use crate::{
    name::{AllocationId, ShardId, Term},
    search::transport::Ctx,
};

/// The copies on this node, as far as they serve.
pub trait Copies {
    /// A write for the primary `allocation` in `term`; ends in [`ShardNews::Write`] with this token.
    fn write(
        &mut self,
        ctx: &mut Ctx<'_>,
        token: u64,
        shard: &ShardId,
        allocation: AllocationId,
        term: Term,
        call: WriteCall,
    );

    /// A get from this node's active copy; ends in [`ShardNews::Get`] with this token.
    fn get(&mut self, ctx: &mut Ctx<'_>, token: u64, shard: &ShardId, call: &ReadCall);

    /// Makes every operation of this node's active copy searchable now.
    ///
    /// # Errors
    ///
    /// If there is no active copy here, or it fails.
    fn refresh(&mut self, ctx: &mut Ctx<'_>, shard: &ShardId) -> Result<(), ShardRefusal>;

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
        token: u64,
        shard: &ShardId,
        allocation: AllocationId,
        term: Term,
        call: WriteCall,
    ) {
        let mut step = Step { ctx, desk: &mut self.desk };
        match self.copies.get_mut(&(shard.clone(), allocation)) {
            Some(copy) => copy.write(&mut step, token, term, call),
            None => {
                let result = Err(ShardRefusal::NotHere { certain: true });
                self.desk.news.push(ShardNews::Write { token, result });
            }
        }
    }

    fn get(&mut self, ctx: &mut Ctx<'_>, token: u64, shard: &ShardId, call: &ReadCall) {
        match self.serving(ctx, shard) {
            Ok((copy, mut step)) => copy.get(&mut step, token, call),
            Err(refusal) => self.desk.news.push(ShardNews::Get { token, result: Err(refusal) }),
        }
    }

    fn refresh(&mut self, ctx: &mut Ctx<'_>, shard: &ShardId) -> Result<(), ShardRefusal> {
        let (copy, mut step) = self.serving(ctx, shard)?;
        copy.refresh(&mut step)
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

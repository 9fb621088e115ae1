//! Document searches — decides in which way a workload asks for a search. It never decides what it asks for.

use serde_json::Value;

use super::{Dice, Stream, WORDS, queries, told};
use crate::{
    event::EventKind,
    name::HostId,
    scenario::load::SearchKind,
    search::api::{ApiCall, SearchRequest, SearchType},
    sim::dice::Die,
};

/// Hits that a search asks for.
pub(super) const SIZE: u32 = 10;

impl Stream {
    pub(super) async fn search(self, node: HostId, mut dice: Dice) {
        let kind = self.plan.search_mix.kind_at(dice.options.unit());
        let (call, parameters) = self.request(kind, dice.content, &mut dice.options);
        let request = self.client.next_request();
        let (index, query) = (self.plan.index.to_string(), call.body.to_string());
        self.client.record(EventKind::SearchInvoked { request, index, query, parameters });
        let result = self.client.call(node, ApiCall::Search(call), self.plan.timeout).await;
        self.client.record(told::search(request, result));
    }

    fn request(&self, kind: SearchKind, mut content: Die, options: &mut Die) -> (SearchRequest, String) {
        let shares = &self.plan.options;
        let mut call = match kind {
            SearchKind::Words => self.plain(&mut content),
            _ => SearchRequest::new(self.index_name(), queries::body(kind, &mut content).to_string()),
        };
        let mut told = Vec::new();
        if options.chance(shares.dfs) {
            call.search_type = SearchType::DfsQueryThenFetch;
            told.push("search_type=dfs_query_then_fetch".to_owned());
        }
        if options.chance(shares.preference) {
            let preference = preference(options);
            told.push(format!("preference={preference}"));
            call.preference = Some(preference);
        }
        if options.chance(shares.strict) {
            call.allow_partial_search_results = Some(false);
            told.push("allow_partial_search_results=false".to_owned());
        }
        if options.chance(shares.timeout) {
            call.body = hurried(&call.body, options.below(4) + 1).into();
        }
        (call, told.join("&"))
    }

    /// Documents with a word, now and then all of them.
    fn plain(&self, die: &mut Die) -> SearchRequest {
        let word = WORDS[die.below(WORDS.len() as u64) as usize];
        if die.chance(0.1) {
            SearchRequest::everything(self.index_name(), SIZE)
        } else {
            SearchRequest::words(self.index_name(), "body", word, SIZE)
        }
    }
}

fn preference(die: &mut Die) -> String {
    match die.below(3) {
        0 => "_local".to_owned(),
        1 => "_shards:0".to_owned(),
        _ => format!("client-{}", die.below(100)),
    }
}

/// The same request, with a time limit in milliseconds.
fn hurried(body: &str, millis: u64) -> String {
    let mut body: Value = serde_json::from_str(body).expect("a request is JSON");
    body["timeout"] = format!("{millis}ms").into();
    body.to_string()
}

//! Multi-get API — decides what several gets in one request can ask, and how their answers are written down. It
//! never decides an answer.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, GetAnswer, GetRequest};
use crate::name::IndexName;

/// `GET /_mget`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiGetRequest {
    /// The gets.
    pub items: Vec<GetRequest>,
}

/// What the gets found, each by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiGetAnswer {
    /// In the order of the request.
    pub items: Vec<Result<GetAnswer, FailedGet>>,
}

/// A get that failed among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedGet {
    /// On which index.
    pub index: IndexName,
    /// Of which document.
    pub id: String,
    /// Why.
    pub error: ApiError,
}

impl MultiGetAnswer {
    /// The body, as Elasticsearch writes it.
    pub fn body(&self) -> Value {
        let docs = self.items.iter().map(|item| match item {
            Ok(answer) => answer.body(),
            Err(FailedGet { index, id, error }) => {
                json!({ "_index": index, "_id": id, "error": error.body()["error"] })
            }
        });
        json!({ "docs": docs.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_get_stands_beside_the_others() {
        let (index, id): (IndexName, _) = ("articles".into(), "a".to_owned());
        let none = GetAnswer { index: index.clone(), id: id.clone(), doc: None };
        let error = ApiError::new(404, "index_not_found_exception", "no such index [books]");
        let body =
            MultiGetAnswer { items: vec![Ok(none), Err(FailedGet { index: "books".into(), id, error })] }
                .body();
        assert_eq!(body["docs"][0], json!({ "_index": "articles", "_id": "a", "found": false }));
        assert_eq!(body["docs"][1]["error"]["type"], "index_not_found_exception");
        assert_eq!(body["docs"][1]["error"]["root_cause"][0]["reason"], "no such index [books]");
    }
}

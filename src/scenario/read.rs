//! read (contract pending).

use crate::scenario::plan::Selector;

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(_text: String) -> Result<Self, String> {
        Err("pending".into())
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

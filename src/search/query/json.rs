//! JSON — decides what a request body says, and where it says it. It never decides what that means.
//!
//! Elasticsearch's error replies point at a line and a column, which a parsed `serde_json` value has
//! forgotten: so a body is read once more, into values that know their place. As there, a name may occur once
//! in an object.

use super::Malformed;

/// How deep objects and lists may lie in each other. Jackson allows 1000; no query needs as many, and each
/// costs stack.
const DEPTH_MAX: usize = 100;

/// A place in a body: line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value with its place: that of its first character.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) json: Json,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The token that the value begins with, as Elasticsearch names it.
    pub(super) fn token(&self) -> &'static str {
        match self.json {
            Json::Null => "VALUE_NULL",
            Json::Bool(_) => "VALUE_BOOLEAN",
            Json::Long(_) | Json::Double(_) => "VALUE_NUMBER",
            Json::Text(_) => "VALUE_STRING",
            Json::List(_) => "START_ARRAY",
            Json::Object(_) => "START_OBJECT",
        }
    }

    /// A value that is neither list nor object, as text.
    pub(super) fn scalar_text(&self) -> Option<String> {
        match &self.json {
            Json::Bool(value) => Some(value.to_string()),
            Json::Long(value) => Some(value.to_string()),
            Json::Double(value) => Some(value.to_string()),
            Json::Text(value) => Some(value.clone()),
            Json::Null | Json::List(_) | Json::Object(_) => None,
        }
    }

    /// The value as `serde_json` has it.
    pub(super) fn plain(&self) -> serde_json::Value {
        match &self.json {
            Json::Null => serde_json::Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Long(value) => (*value).into(),
            Json::Double(value) => (*value).into(),
            Json::Text(value) => value.as_str().into(),
            Json::List(items) => items.iter().map(Self::plain).collect(),
            Json::Object(fields) => fields
                .iter()
                .map(|(name, node)| (name.clone(), node.plain()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// Reads a body.
pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    let mut reader = Reader { text, offset: 0, at: At { line: 1, column: 1 }, depth: 0 };
    let node = reader.value()?;
    reader.skip_blanks();
    match reader.peek() {
        None => Ok(node),
        Some(c) => Err(reader.unexpected(c, "end of input")),
    }
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
    at: At,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        if c == '\n' {
            self.at = At { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, taken: &str) {
        for _ in taken.chars() {
            self.advance();
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            self.advance();
        }
    }

    fn broken(&self, what: &str) -> Malformed {
        Malformed::content(self.at, what)
    }

    fn unexpected(&self, c: char, wanted: &str) -> Malformed {
        self.broken(&format!("Unexpected character ('{c}' (code {})): expected {wanted}", u32::from(c)))
    }

    fn end(&self) -> Malformed {
        self.broken("Unexpected end-of-input")
    }

    fn expect(&mut self, wanted: char) -> Result<(), Malformed> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.advance();
                Ok(())
            }
            Some(c) => Err(self.unexpected(c, &format!("'{wanted}'"))),
            None => Err(self.end()),
        }
    }

    fn value(&mut self) -> Result<Node, Malformed> {
        self.skip_blanks();
        let at = self.at;
        let json = match self.peek() {
            None => return Err(self.end()),
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::list)?,
            Some('"') => Json::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            Some(c) if c.is_ascii_alphabetic() => self.word()?,
            Some(c) => return Err(self.unexpected(c, "a valid value")),
        };
        Ok(Node { at, json })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, Malformed>) -> Result<Json, Malformed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let depth = self.depth;
            return Err(self.broken(&format!(
                "Document nesting depth ({depth}) exceeds the maximum allowed ({DEPTH_MAX})"
            )));
        }
        let json = read(self)?;
        self.depth -= 1;
        Ok(json)
    }

    fn object(&mut self) -> Result<Json, Malformed> {
        self.advance();
        let mut fields: Vec<(String, Node)> = Vec::new();
        while !self.closes('}', fields.is_empty())? {
            self.skip_blanks();
            let name = match self.peek() {
                Some('"') => self.string()?,
                Some(c) => return Err(self.unexpected(c, "double-quote to start field name")),
                None => return Err(self.end()),
            };
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(self.broken(&format!("Duplicate field '{name}'")));
            }
            self.skip_blanks();
            self.expect(':')?;
            fields.push((name, self.value()?));
        }
        Ok(Json::Object(fields))
    }

    fn list(&mut self) -> Result<Json, Malformed> {
        self.advance();
        let mut items = Vec::new();
        while !self.closes(']', items.is_empty())? {
            items.push(self.value()?);
        }
        Ok(Json::List(items))
    }

    /// Whether the object or list ends here; if not, and something came before, the comma is taken.
    fn closes(&mut self, close: char, is_first: bool) -> Result<bool, Malformed> {
        self.skip_blanks();
        if self.peek() == Some(close) {
            self.advance();
            return Ok(true);
        }
        if !is_first {
            self.expect(',')?;
        }
        Ok(false)
    }

    fn word(&mut self) -> Result<Json, Malformed> {
        let word: String = self.rest().chars().take_while(char::is_ascii_alphanumeric).collect();
        let json = match word.as_str() {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => {
                return Err(self.broken(&format!(
                    "Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token 'null', \
                     'true' or 'false')"
                )));
            }
        };
        self.skip(&word);
        Ok(json)
    }

    // `serde_json` knows what a number and a string are; only their length is found here.
    fn number(&mut self) -> Result<Json, Malformed> {
        let is_part = |c: &char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let text: String = self.rest().chars().take_while(is_part).collect();
        let number: serde_json::Number = serde_json::from_str(&text)
            .map_err(|_| self.broken(&format!("Numeric value ({text}) is malformed or out of range")))?;
        self.skip(&text);
        Ok(match number.as_i64() {
            Some(value) => Json::Long(value),
            None => Json::Double(number.as_f64().unwrap_or(f64::MAX)),
        })
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let begin = self.offset;
        self.advance();
        let mut is_escaped = false;
        loop {
            match self.advance() {
                None => return Err(self.end()),
                Some('"') if !is_escaped => break,
                Some(c) => is_escaped = c == '\\' && !is_escaped,
            }
        }
        serde_json::from_str(&self.text[begin..self.offset])
            .map_err(|_| self.broken("Unrecognized character escape or control character in a string"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_know_their_place() {
        let node = read("{\n  \"a\": [1, 2.5,\n \"x\\n\"], \"b\": {\"c\": null}}").unwrap();
        let Json::Object(fields) = &node.json else { panic!("{node:?}") };
        let Json::List(items) = &fields[0].1.json else { panic!("{node:?}") };
        let places: Vec<_> = items.iter().map(|item| (item.at.line, item.at.column)).collect();
        assert_eq!(places, [(2, 9), (2, 12), (3, 2)]);
        assert_eq!(items[2].json, Json::Text("x\n".into()));
        assert_eq!(node.plain(), serde_json::json!({"a": [1, 2.5, "x\n"], "b": {"c": null}}));
    }

    #[test]
    fn broken_bodies_are_refused() {
        for body in ["", "{", "[1,]", "{\"a\" 1}", "{\"a\":1,\"a\":2}", "tru", "1 2", "\"x", "01", "{'a':1}"]
        {
            assert_eq!(read(body).unwrap_err().kind, "x_content_parse_exception", "{body}");
        }
        assert!(read(&"[".repeat(5_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}\":,a-z0-9 .\\\\-]{0,60}") {
            let ours = read(&text).map(|node| node.plain());
            if let Ok(ours) = ours {
                prop_assert_eq!(ours, serde_json::from_str::<serde_json::Value>(&text).unwrap());
            }
        }
    }
}

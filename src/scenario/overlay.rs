//! Overlays — decides how a setting from outside, `--set KEY=VALUE`, changes a scenario file's text. It never judges
//! the result: that is read like any file, and so a bad key or value is told like one in it.
//!
//! A key is a path: `cluster.session_timeout`, `workloads.0.writes_per_second`, or with `*` for every entry of a
//! list. Elasticsearch's settings have dots in their names, which a path may spell as they are.

use toml::{Table, Value};

/// A key and the value it gets.
pub type Setting = (String, String);

/// Keys of ZooKeeper that stand under `[cluster]` in a file, by the path that one would guess.
const ALIASES: [(&str, &str); 6] = [
    ("zookeeper.servers", "cluster.zookeeper"),
    ("zookeeper.session_timeout", "cluster.session_timeout"),
    ("zookeeper.tick", "cluster.tick"),
    ("zookeeper.init_limit", "cluster.init_limit"),
    ("zookeeper.sync_limit", "cluster.sync_limit"),
    ("zookeeper.snap_count", "cluster.snap_count"),
];

/// The text of a scenario file with these settings in it. A text that is no TOML stays as it is.
///
/// # Errors
///
/// If a path leads nowhere: says where it ends, and what is there.
pub fn overlaid(text: &str, settings: &[Setting]) -> Result<String, String> {
    let Ok(mut table) = text.parse::<Table>() else { return Ok(text.to_owned()) };
    if settings.is_empty() {
        return Ok(text.to_owned());
    }
    for (key, value) in settings {
        let path = key.replace('"', "");
        let path =
            ALIASES.iter().find(|(guessed, _)| *guessed == path).map_or(path.as_str(), |(_, real)| real);
        put(&mut table, path, &valued(value)).map_err(|why| format!("`--set {key}={value}`: {why}"))?;
    }
    toml::to_string(&table).map_err(|error| error.to_string())
}

/// As TOML, or as text if it is none: `5`, `true`, `["a", "b"]`, `2s`.
fn valued(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    let single = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    single.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn put(table: &mut Table, path: &str, value: &Value) -> Result<(), String> {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) if !table.contains_key(path) => (step, rest),
        _ => {
            table.insert(path.to_owned(), value.clone());
            return Ok(());
        }
    };
    match table.entry(step).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => put(inner, rest, value),
        Value::Array(list) => put_in_list(step, list, rest, value),
        _ => Err(format!("`{step}` is no table, so it has no `{rest}`")),
    }
}

fn put_in_list(name: &str, list: &mut [Value], path: &str, value: &Value) -> Result<(), String> {
    let (which, rest) = path.split_once('.').unwrap_or((path, ""));
    let count = list.len();
    let chosen: Vec<&mut Value> = match which.parse::<usize>() {
        _ if which == "*" => list.iter_mut().collect(),
        Ok(number) => list.get_mut(number).into_iter().collect(),
        Err(_) => {
            return Err(format!(
                "`{name}` is a list: write `{name}.0.{path}`, or `{name}.*.{path}` for every entry"
            ));
        }
    };
    if chosen.is_empty() {
        return Err(format!("`{name}` has {count} entries, numbered from 0: there is no `{name}.{which}`"));
    }
    for entry in chosen {
        match entry {
            _ if rest.is_empty() => *entry = value.clone(),
            Value::Table(inner) => put(inner, rest, value)?,
            _ => return Err(format!("`{name}.{which}` is no table, so it has no `{rest}`")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
title = "t"
zones = ["a"]
[cluster]
settings = { "a.b" = "old" }
[[workloads]]
rate = 1
[[workloads]]
rate = 2
"#;

    fn set(key: &str, value: &str) -> Result<Table, String> {
        overlaid(TEXT, &[(key.into(), value.into())]).map(|text| text.parse().expect("TOML"))
    }

    #[test]
    fn value_is_toml_or_else_text() {
        let cluster = |value| set("cluster.x", value).unwrap()["cluster"]["x"].clone();
        assert_eq!(cluster("5"), Value::Integer(5));
        assert_eq!(cluster("2s"), Value::String("2s".into()));
        assert_eq!(cluster("\"5\""), Value::String("5".into()));
        assert_eq!(cluster("[1, 2]"), Value::Array(vec![1.into(), 2.into()]));
        assert_eq!(cluster("1\ny = 2"), Value::String("1\ny = 2".into()));
    }

    #[test]
    fn table_that_is_missing_is_made() {
        assert_eq!(set("disks.sync.min", "1ms").unwrap()["disks"]["sync"]["min"].as_str(), Some("1ms"));
    }

    #[test]
    fn name_with_dots_is_found_before_a_path() {
        let table = set("cluster.settings.\"a.b\"", "new").unwrap();
        assert_eq!(table["cluster"]["settings"]["a.b"].as_str(), Some("new"));
        assert_eq!(table["cluster"]["settings"].as_table().unwrap().len(), 1);
    }

    #[test]
    fn entries_of_a_list_are_numbered_or_all() {
        let rates = |key| {
            let table = set(key, "9").unwrap();
            let list = table["workloads"].as_array().unwrap().clone();
            list.iter().map(|entry| entry["rate"].as_integer().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(rates("workloads.1.rate"), [1, 9]);
        assert_eq!(rates("workloads.*.rate"), [9, 9]);
    }

    #[test]
    fn path_that_leads_nowhere_says_where_it_ends() {
        assert!(set("title.x", "1").unwrap_err().contains("`title` is no table"));
        assert!(set("workloads.7.rate", "1").unwrap_err().contains("has 2 entries"));
        assert!(set("workloads.rate", "1").unwrap_err().contains("`workloads.*.rate`"));
        assert!(set("zones.0.x", "1").unwrap_err().contains("`zones.0` is no table"));
    }

    #[test]
    fn session_timeout_of_zookeeper_is_the_clusters() {
        let table = set("zookeeper.session_timeout", "2s").unwrap();
        assert_eq!(table["cluster"]["session_timeout"].as_str(), Some("2s"));
    }

    #[test]
    fn nothing_to_set_changes_nothing() {
        assert_eq!(overlaid(TEXT, &[]), Ok(TEXT.to_owned()));
        assert_eq!(overlaid("no = [toml", &[("a".into(), "1".into())]), Ok("no = [toml".to_owned()));
    }
}

//! Itself — the player's own cases: what it compares by must tell what differs.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{
    compare::{Zxids, differences},
    jute::{Reader, Writer},
    recording::{Recording, mend},
    symbols::{Symbols, data_out},
};

/// The player's own cases.
pub(crate) fn cases() -> Vec<Trial> {
    let case = |name: &str, test: fn()| {
        Trial::test(format!("itself/{name}"), move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    vec![
        case("difference_is_told_with_its_place", difference_is_told_with_its_place),
        case("order_forgives_offsets_and_nothing_else", order_forgives_offsets_and_nothing_else),
        case("zxids_are_written_by_epoch_and_offset", zxids_are_written_by_epoch_and_offset),
        case("data_is_shown_as_python_shows_it", data_is_shown_as_python_shows_it),
        case("lone_surrogates_survive_file_and_wire", lone_surrogates_survive_file_and_wire),
        case("file_of_another_format_is_refused", file_of_another_format_is_refused),
    ]
}

fn difference_is_told_with_its_place() {
    let told = |wanted: Value, came: Value| differences(&[wanted], &[came], Zxids::Strict);
    assert!(told(json!({"a": [1, {"b": null}]}), json!({"a": [1, {"b": null}]})).is_empty());
    assert_eq!(told(json!({"a": [1, 2]}), json!({"a": [1, 3]})), ["[0].a[1]: want 2 got 3"]);
    assert_eq!(told(json!({"a": [1]}), json!({"a": [1, 2]})), ["[0].a: want [1] got [1,2]"]);
    assert_eq!(
        told(json!({"a": 1}), json!({"b": true})),
        ["[0].a: missing, want 1", "[0].b: unexpected true"]
    );
    assert_eq!(told(json!({"a": 0}), json!({"a": false})).len(), 1, "a number is no flag");
}

fn order_forgives_offsets_and_nothing_else() {
    let wanted = [json!({"zxid": "z+2"}), json!({"zxid": "z+10"}), json!({"zxid": "e+1z1"})];
    let came = [json!({"zxid": "z+3"}), json!({"zxid": "z+9"}), json!({"zxid": "e+2z7"})];
    assert!(differences(&wanted, &came, Zxids::Order).is_empty());
    assert_eq!(differences(&wanted, &came, Zxids::Strict).len(), 3);
    let swapped = [came[1].clone(), came[0].clone(), came[2].clone()];
    assert_eq!(differences(&wanted, &swapped, Zxids::Order).len(), 2);
    let equal = [came[0].clone(), came[0].clone(), came[2].clone()];
    assert!(!differences(&wanted, &equal, Zxids::Order).is_empty());
}

fn zxids_are_written_by_epoch_and_offset() {
    let mut symbols = Symbols::new("itself");
    symbols.base = (3 << 32) + 5;
    let shown = [0, -1, (3 << 32) + 5, (3 << 32) + 7, (3 << 32) + 1, 4 << 32, (2 << 32) + 9];
    let shown = shown.map(|zxid| symbols.zxid(zxid));
    assert_eq!(shown, ["0", "-1", "z+0", "z+2", "z-4", "e+1z0", "e-1z9"]);
}

fn data_is_shown_as_python_shows_it() {
    let shown = |bytes: &[u8]| data_out(Some(bytes.to_vec()));
    assert_eq!(data_out(None), Value::Null);
    assert_eq!(shown(b"it's \"q\" \\"), json!("it's \"q\" \\"));
    assert_eq!(shown("é中😀".as_bytes()), json!("é中😀"));
    assert_eq!(shown(b"a\nb\x01"), json!("a\nb\u{1}"));
    assert_eq!(shown(b"a\tb"), json!({"hex": "610962"}));
    assert_eq!(shown("\u{a0}".as_bytes()), json!({"hex": "c2a0"}));
    assert_eq!(shown(&[0xFF]), json!({"hex": "ff"}));
    let long = json!({"len": 301, "sha1": "33799b26bb897f9ceceeacefbe6cffcdd1c259f3"});
    assert_eq!(shown(&[b'x'; 301]), long);
    assert_eq!(shown(&[b'x'; 300]), json!("x".repeat(300)));
}

fn lone_surrogates_survive_file_and_wire() {
    let file = mend(r#"["\ud800/\ud83d\ude00\udfff\\ud800\"é"]"#);
    let Ok(Value::Array(texts)) = serde_json::from_str(&file) else { panic!("{file} is no list") };
    let text = texts[0].as_str().expect("a text");
    assert!(text.contains("/😀") && text.ends_with("\\ud800\"é"), "{text}");
    let bytes = Writer::default().string(Some(text)).0;
    assert_eq!(bytes[4..7], [0xED, 0xA0, 0x80]);
    let read = Reader::new(bytes).string().expect("what was written can be read");
    assert_eq!(read.as_deref(), Some(text));
}

fn file_of_another_format_is_refused() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(Recording::read(&manifest).is_err());
    assert!(Recording::read(Path::new("nowhere.json")).is_err());
}

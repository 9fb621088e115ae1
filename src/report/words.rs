//! Words — decides how numbers stand in sentences. It never decides which.

/// A count with its noun: `1 copy`, `3 copies`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A number with its thousands set apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// An argument as a shell would have to be given it.
pub fn quoted(argument: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./=:,+@%".contains(char);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// The name of a file as one argument of a shell's command line that no option is mistaken for.
pub fn quoted_file(name: &str) -> String {
    if name.starts_with('-') { quoted(&format!("./{name}")) } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_looks_like_an_option_is_told_from_one() {
        assert_eq!([quoted_file("-x.toml"), quoted_file("a b")], ["./-x.toml", "'a b'"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!((grouped(7).as_str(), grouped(1_234_567).as_str()), ("7", "1 234 567"));
    }

    #[test]
    fn nouns_agree_with_their_number() {
        assert_eq!(counted(1, "copy", "copies"), "1 copy");
        assert_eq!(counted(0, "copy", "copies"), "0 copies");
    }

    #[test]
    fn arguments_are_quoted_only_if_they_must_be() {
        assert_eq!(quoted("a/b-1.toml"), "a/b-1.toml");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}

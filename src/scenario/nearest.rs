//! Nearest names — decides what a misspelt word was probably meant to be. It never corrects anything.

/// The candidate that `found` most resembles, if any does.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&found, &candidate.to_lowercase());
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate));
    let limit = 1 + found.chars().count() / 3;
    near.filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Candidates that a sentence has room for.
const LISTED_MAX: usize = 24;

/// A sentence of help: the nearest candidate, and all of them if they are few.
pub fn suggestion<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let mut parts = Vec::new();
    if let Some(name) = nearest(found, candidates.clone()) {
        parts.push(format!("did you mean `{name}`?"));
    }
    let all: Vec<&str> = candidates.into_iter().collect();
    match all.len() {
        0 => parts.push("there is none".into()),
        1..=LISTED_MAX => parts.push(format!("valid: {}", all.join(", "))),
        count if parts.is_empty() => parts.push(format!("none of the {count} valid names is near")),
        _ => {}
    }
    parts.join(" ")
}

/// The same; where it helps no further, `shardarium list TOPIC` has them all.
pub fn suggestion_of<'a>(
    found: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    topic: &str,
) -> String {
    let are_few = candidates.clone().into_iter().count() <= LISTED_MAX;
    let is_near = nearest(found, candidates.clone()).is_some();
    let help = suggestion(found, candidates);
    if is_near || are_few { help } else { format!("{help}; `shardarium list {topic}` has them all") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_letters_are_near() {
        assert_eq!(nearest("pasue", ["crash", "pause", "cut"]), Some("pause"));
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(nearest("primaryappended", ["PrimaryAppended"]), Some("PrimaryAppended"));
    }

    #[test]
    fn unlike_word_has_no_nearest() {
        assert_eq!(nearest("banana", ["crash", "pause", "cut"]), None);
    }

    #[test]
    fn suggestion_lists_few_candidates() {
        assert_eq!(suggestion("crsh", ["crash", "cut"]), "did you mean `crash`? valid: crash, cut");
    }
}

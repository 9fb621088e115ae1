//! Problems — decides how what is wrong with a scenario file is shown. It never decides what is wrong.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The bytes of the source that show it; none if it concerns the file as a whole.
    pub span: Option<Range<usize>>,
    /// What was found.
    pub message: String,
    /// What was meant, or what is allowed; may be empty.
    pub help: String,
}

/// All that is wrong with one scenario file.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The file's name, as the user gave it.
    pub file: String,
    /// Its text.
    pub source: String,
    /// What is wrong, in order of place.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Line and column, from 1, of a problem; columns count characters.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        let start = problem.span.as_ref().map_or(0, |span| span.start).min(self.source.len());
        let before = self.source.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The problems with their lines, for a terminal that can show colours.
    pub fn render_styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let renderer = renderer.clone().decor_style(DecorStyle::Ascii);
        let each = self.list.iter().map(|problem| self.render_one(&renderer, problem));
        each.collect::<Vec<_>>().join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let span = problem.span.clone().unwrap_or(0..0);
        let annotation = AnnotationKind::Primary.span(span);
        let snippet = Snippet::source(&self.source).path(&self.file).annotation(annotation);
        let mut group = Level::ERROR.primary_title(&problem.message).element(snippet);
        if !problem.help.is_empty() {
            group = group.element(Level::HELP.message(&problem.help));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_lines_and_characters() {
        let problem = Problem { span: Some(10..11), message: "m".into(), help: String::new() };
        let problems = Problems { file: "f".into(), source: "ä = 1\nü = 2\n".into(), list: vec![problem] };
        assert_eq!(problems.position(&problems.list[0]), (2, 3));
    }

    #[test]
    fn problem_shows_place_line_and_help() {
        let problem = Problem { span: Some(8..12), message: "`oops`".into(), help: "say sorry".into() };
        let problems =
            Problems { file: "f.toml".into(), source: "a = 1\nb=oops\n".into(), list: vec![problem] };
        let text = problems.to_string();
        for part in ["error: `oops`", "f.toml:2:3", "b=oops", "^^^^", "say sorry"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

//! Style — decides how kinds of text look on a terminal. It never decides whether there is one: the stream
//! that is written to takes the colours out where they do not belong.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

/// What a piece of text is, as far as its looks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Of lesser interest.
    Dim,
    /// A heading.
    Heading,
    /// The world breaks something.
    Fault,
    /// The cluster copes.
    Good,
    /// Something is lost or refused.
    Bad,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Dim => Style::new().dimmed(),
            Self::Heading => Style::new().bold(),
            Self::Fault => AnsiColor::Yellow.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
        }
    }
}

/// Text in a tone; width and alignment apply to the text alone.
#[derive(Debug, Clone, Copy)]
pub struct Painted<T>(pub Tone, pub T);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.0.style();
        write!(f, "{style}")?;
        self.1.fmt(f)?;
        write!(f, "{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_counts_the_text_alone() {
        let text = format!("[{:<6}]", Painted(Tone::Bad, "no"));
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "[no    ]");
    }
}

//! Exit codes — decides what an engine that runs the tool learns from its end. It never decides whether a run
//! was right.

use std::{fmt, io, process::ExitCode};

use crate::trial::Standing;

/// How the tool ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: every law holds, every goal is met.
    Fine,
    /// 1: a law is broken.
    Broken,
    /// 2: undecided: a budget ran out.
    Undecided,
    /// 3: a goal of the sweep was never met.
    Idle,
    /// 4: nothing to run.
    Nothing,
    /// 64: usage, or a bad file.
    Usage,
    /// 70: the tool itself is at fault.
    Internal,
    /// 75: out of time, memory or space; what there is has been written.
    Unfinished,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Broken => 1,
            Self::Undecided => 2,
            Self::Idle => 3,
            Self::Nothing => 4,
            Self::Usage => 64,
            Self::Internal => 70,
            Self::Unfinished => 75,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Standing> for Exit {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Holds => Self::Fine,
            Standing::Undecided => Self::Undecided,
            Standing::Broken => Self::Broken,
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug, Clone)]
pub enum Failure {
    /// What the user gave cannot be used.
    Usage(String),
    /// The tool itself is at fault.
    Internal(String),
    /// Something ran out on the way.
    Unfinished(String),
}

impl Failure {
    /// What cannot be used, why, and what to do.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }

    /// A place that cannot be written to: it may be so later if only room is missing, else it is the wrong one.
    pub(super) fn unwritable(message: String, error: &io::Error) -> Self {
        let (text, kind) = (format!("{message}: {error}"), error.kind());
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Unfinished(text)
            }
            _ => Self::Usage(text),
        }
    }

    /// The sentence for the user.
    pub fn message(&self) -> &str {
        match self {
            Self::Usage(message) | Self::Internal(message) | Self::Unfinished(message) => message,
        }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Internal(_) => Exit::Internal,
            Self::Unfinished(_) => Exit::Unfinished,
        }
    }
}

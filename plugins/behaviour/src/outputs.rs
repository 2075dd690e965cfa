//! The outputs, in the order in which signals are given.

use assay_plugin::{Capability, Direction, Output, OutputKind, Range};

use crate::config::{Reported, Rules};

/// A week, in seconds: a longer pause says nothing of an answer.
pub const PAUSE_S_MAX: f64 = 604_800.0;

/// One output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    Rephrase,
    RephraseSimilarity,
    Retry,
    Copy,
    CopyThenLeave,
    Report,
    Abandon,
    Thumbs,
    TimeToNextMessage,
    Dissatisfied,
}

impl Out {
    const ALL: [Self; 10] = [
        Self::Rephrase,
        Self::RephraseSimilarity,
        Self::Retry,
        Self::Copy,
        Self::CopyThenLeave,
        Self::Report,
        Self::Abandon,
        Self::Thumbs,
        Self::TimeToNextMessage,
        Self::Dissatisfied,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rephrase => "rephrase",
            Self::RephraseSimilarity => "rephrase_similarity",
            Self::Retry => "retry",
            Self::Copy => "copy",
            Self::CopyThenLeave => "copy_then_leave",
            Self::Report => "report",
            Self::Abandon => "abandon",
            Self::Thumbs => "thumbs",
            Self::TimeToNextMessage => "time_to_next_message_s",
            Self::Dissatisfied => "dissatisfied",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Rephrase => "The next query asks the same in other words",
            Self::RephraseSimilarity => "How alike the next query is",
            Self::Retry => "The user sent the query again or had it answered again",
            Self::Copy => "The user copied the answer",
            Self::CopyThenLeave => "The user copied the answer and asked nothing more",
            Self::Report => "The user reported the answer",
            Self::Abandon => "The user gave up",
            Self::Thumbs => "The user's rating, from -1 to 1",
            Self::TimeToNextMessage => "Seconds from the answer's end to the next query",
            Self::Dissatisfied => "The user showed in some way that the answer did not help",
        }
    }

    fn kind(self) -> OutputKind {
        match self {
            Self::RephraseSimilarity => OutputKind::Number(Range { low: 0.0, high: 1.0 }),
            Self::Thumbs => OutputKind::Number(Range { low: -1.0, high: 1.0 }),
            Self::TimeToNextMessage => OutputKind::Number(Range { low: 0.0, high: PAUSE_S_MAX }),
            _ => OutputKind::Boolean,
        }
    }

    fn direction(self) -> Direction {
        match self {
            Self::Copy | Self::CopyThenLeave | Self::Thumbs => Direction::HigherIsBetter,
            Self::TimeToNextMessage => Direction::Neutral,
            _ => Direction::LowerIsBetter,
        }
    }

    /// Whether anything can be said of it under these rules.
    pub fn is_given(self, rules: &Rules) -> bool {
        let config = &rules.config;
        match self {
            Self::Copy | Self::CopyThenLeave => config.reports(Reported::Copied),
            Self::Report => config.reports(Reported::Reported),
            Self::Abandon => config.gives_abandon(),
            Self::Thumbs => config.reports(Reported::Rated),
            _ => true,
        }
    }
}

/// The outputs that rules give.
pub fn outputs(rules: &Rules) -> Vec<Output> {
    Out::ALL
        .into_iter()
        .filter(|out| out.is_given(rules))
        .map(|out| Output {
            name: out.name().into(),
            capability: Capability::Signal,
            kind: out.kind(),
            direction: out.direction(),
            description: Some(out.description().into()),
        })
        .collect()
}

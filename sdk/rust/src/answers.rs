//! What a plugin's function may return, and how it becomes the contract's list.

use crate::{Label, OutputKind, PluginError, Range, Score, Signal};

/// What a scorer's function may return.
pub trait ScorerAnswer {
    /// The contract's list. `output` names a value that names itself nowhere.
    fn into_scores(self, output: &str) -> Result<Vec<Score>, PluginError>;
}

/// A scorer's answer whose single output is known by its type.
pub trait SingleOutput: ScorerAnswer {
    /// What the output may be, where numbers lie in `range`.
    fn kind(range: (f64, f64)) -> OutputKind;
}

/// What a classifier's function may return.
pub trait ClassifierAnswer {
    /// The contract's list.
    fn into_labels(self) -> Result<Vec<Label>, PluginError>;
}

/// What an extractor's function may return.
pub trait ExtractorAnswer {
    /// The contract's list. `output` names a value that names itself nowhere.
    fn into_signals(self, output: &str) -> Result<Vec<Signal>, PluginError>;
}

/// An extractor's answer whose single output is known by its type.
pub trait SingleSignal: ExtractorAnswer {
    /// What the output may be, where numbers lie in `range`.
    fn kind(range: (f64, f64)) -> OutputKind;
}

fn number((low, high): (f64, f64)) -> OutputKind {
    OutputKind::Number(Range { low, high })
}

macro_rules! plain_value {
    ($type:ty, $range:ident => $kind:expr) => {
        impl ScorerAnswer for $type {
            fn into_scores(self, output: &str) -> Result<Vec<Score>, PluginError> {
                Ok(vec![Score::new(output, self)])
            }
        }

        impl SingleOutput for $type {
            fn kind($range: (f64, f64)) -> OutputKind {
                $kind
            }
        }

        impl ExtractorAnswer for $type {
            fn into_signals(self, output: &str) -> Result<Vec<Signal>, PluginError> {
                Ok(vec![Signal::new(output, self)])
            }
        }

        impl SingleSignal for $type {
            fn kind($range: (f64, f64)) -> OutputKind {
                $kind
            }
        }
    };
}

plain_value!(bool, _range => OutputKind::Boolean);
plain_value!(f64, range => number(range));

impl ScorerAnswer for Score {
    fn into_scores(self, _output: &str) -> Result<Vec<Score>, PluginError> {
        Ok(vec![self])
    }
}

impl SingleOutput for Score {
    fn kind(range: (f64, f64)) -> OutputKind {
        number(range)
    }
}

impl ScorerAnswer for Vec<Score> {
    fn into_scores(self, _output: &str) -> Result<Vec<Score>, PluginError> {
        Ok(self)
    }
}

impl<A: ScorerAnswer> ScorerAnswer for Option<A> {
    fn into_scores(self, output: &str) -> Result<Vec<Score>, PluginError> {
        self.map_or(Ok(Vec::new()), |answer| answer.into_scores(output))
    }
}

impl<A: SingleOutput> SingleOutput for Option<A> {
    fn kind(range: (f64, f64)) -> OutputKind {
        A::kind(range)
    }
}

impl<A: ScorerAnswer> ScorerAnswer for Result<A, PluginError> {
    fn into_scores(self, output: &str) -> Result<Vec<Score>, PluginError> {
        self?.into_scores(output)
    }
}

impl<A: SingleOutput> SingleOutput for Result<A, PluginError> {
    fn kind(range: (f64, f64)) -> OutputKind {
        A::kind(range)
    }
}

impl ClassifierAnswer for Label {
    fn into_labels(self) -> Result<Vec<Label>, PluginError> {
        Ok(vec![self])
    }
}

impl ClassifierAnswer for Vec<Label> {
    fn into_labels(self) -> Result<Vec<Label>, PluginError> {
        Ok(self)
    }
}

impl<A: ClassifierAnswer> ClassifierAnswer for Option<A> {
    fn into_labels(self) -> Result<Vec<Label>, PluginError> {
        self.map_or(Ok(Vec::new()), ClassifierAnswer::into_labels)
    }
}

impl<A: ClassifierAnswer> ClassifierAnswer for Result<A, PluginError> {
    fn into_labels(self) -> Result<Vec<Label>, PluginError> {
        self?.into_labels()
    }
}

impl ExtractorAnswer for Signal {
    fn into_signals(self, _output: &str) -> Result<Vec<Signal>, PluginError> {
        Ok(vec![self])
    }
}

impl ExtractorAnswer for Vec<Signal> {
    fn into_signals(self, _output: &str) -> Result<Vec<Signal>, PluginError> {
        Ok(self)
    }
}

impl<A: ExtractorAnswer> ExtractorAnswer for Option<A> {
    fn into_signals(self, output: &str) -> Result<Vec<Signal>, PluginError> {
        self.map_or(Ok(Vec::new()), |answer| answer.into_signals(output))
    }
}

impl<A: SingleSignal> SingleSignal for Option<A> {
    fn kind(range: (f64, f64)) -> OutputKind {
        A::kind(range)
    }
}

impl<A: ExtractorAnswer> ExtractorAnswer for Result<A, PluginError> {
    fn into_signals(self, output: &str) -> Result<Vec<Signal>, PluginError> {
        self?.into_signals(output)
    }
}

impl<A: SingleSignal> SingleSignal for Result<A, PluginError> {
    fn kind(range: (f64, f64)) -> OutputKind {
        A::kind(range)
    }
}

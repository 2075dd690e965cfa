//! A configuration that was checked: what is asked, whom, and how it is read.

use std::collections::BTreeMap;

use assay_plugin::Problem;
use assay_plugin::judge::Use;

use crate::config::{Baseline, Combine, Config, CriterionConfig, EvidenceRule, Mode, TotalRule, Way};
use crate::{outputs, prompt, ready_made};

const CRITERIA_MAX: usize = 30;
const JURY_MAX: usize = 9;
const POINTS_MAX: i64 = 1000;
const TEXT_BYTES_MAX: usize = 20_000;

/// A rubric that can be asked.
#[derive(Debug, Clone)]
pub struct Rubric {
    /// The judges; one or several.
    pub profiles: Vec<String>,
    /// How several votes make one value.
    pub combine: Combine,
    /// One answer by itself, or two against each other.
    pub mode: Mode,
    /// What `pairwise` compares with.
    pub baseline: Baseline,
    /// What the judge is shown beside query and answer.
    pub uses: Vec<Use>,
    /// When there is a total.
    pub total: TotalRule,
    /// What is judged.
    pub criteria: Vec<Criterion>,
    /// The system message. It depends on nothing that is judged.
    pub system: String,
    /// JSON Schema of a reply.
    pub schema: String,
    /// The most tokens of a reply.
    pub output_tokens_max: Option<u32>,
    /// The judge's temperature.
    pub temperature: Option<f64>,
}

/// One criterion.
#[derive(Debug, Clone)]
pub struct Criterion {
    /// The output's name.
    pub name: String,
    /// What the judge is asked.
    pub question: String,
    /// The least points.
    pub low: i64,
    /// The most points.
    pub high: i64,
    /// What a number of points means.
    pub anchors: BTreeMap<i64, String>,
    /// What a point counts in the total.
    pub weight: f64,
    /// The judge may say that it cannot tell.
    pub cannot_tell: bool,
    /// Whether the judge quotes the answer.
    pub evidence: EvidenceRule,
    /// Which way is better.
    pub way: Way,
}

impl Rubric {
    /// Checks a configuration.
    pub fn new(config: Config) -> Result<Self, Vec<Problem>> {
        let config = match &config.rubric {
            Some(name) => ready_made::filled_in(&config, name)?,
            None => config,
        };
        let mut problems = Problems(Vec::new());
        let profiles = profiles(&config, &mut problems);
        if config.mode == Mode::Absolute && config.baseline.is_some() {
            problems.add("/baseline", "only `pairwise` compares with a baseline");
        }
        let uses = config.uses.unwrap_or_default();
        let baseline = config.baseline.unwrap_or(Baseline::Expected);
        if config.mode == Mode::Pairwise && baseline == Baseline::Expected && uses.contains(&Use::Expected) {
            problems.add("/uses", "the judge would be told that the baseline is right: do not use `expected`, or give another `baseline`");
        }
        if let Some(text) = &config.instructions
            && text.len() > TEXT_BYTES_MAX
        {
            problems.add("/instructions", format!("{} bytes are over {TEXT_BYTES_MAX}", text.len()));
        }
        if let Some(temperature) = config.temperature
            && !(0.0..=2.0).contains(&temperature)
        {
            problems.add("/temperature", format!("{temperature} is not 0 to 2"));
        }
        if config.output_tokens_max == Some(0) {
            problems.add("/output_tokens_max", "a reply has at least one token");
        }
        if config.criteria.is_empty() {
            problems
                .add("/criteria", "at least one criterion, or the name of a ready-made `rubric`, is needed");
        }
        if config.criteria.len() > CRITERIA_MAX {
            problems.add("/criteria", format!("{} criteria are over {CRITERIA_MAX}", config.criteria.len()));
        }
        let mut criteria = Vec::<Criterion>::new();
        for (index, criterion) in config.criteria.into_iter().enumerate() {
            let path = format!("/criteria/{index}");
            if criteria.iter().any(|other| other.name == criterion.name) {
                problems.add(format!("{path}/name"), format!("`{}` is there twice", criterion.name));
            }
            criteria.push(Criterion::new(criterion, config.mode, &path, &mut problems));
        }
        if !problems.0.is_empty() {
            return Err(problems.0);
        }
        let instructions = config.instructions.unwrap_or_default();
        Ok(Self {
            system: prompt::system(config.mode, &criteria, &uses, instructions.trim()),
            schema: prompt::schema(config.mode, &criteria),
            profiles,
            combine: config.combine,
            mode: config.mode,
            baseline,
            uses,
            total: config.total,
            criteria,
            output_tokens_max: config.output_tokens_max,
            temperature: config.temperature,
        })
    }

    /// Whether several judges are asked.
    pub fn has_jury(&self) -> bool {
        self.profiles.len() > 1
    }
}

impl Criterion {
    fn new(config: CriterionConfig, mode: Mode, path: &str, problems: &mut Problems) -> Self {
        let name_fits = config.name.starts_with(|c: char| c.is_ascii_lowercase())
            && config.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && config.name.len() <= 64;
        if !name_fits {
            let message = "a name has up to 64 lower-case letters, digits and `_`, a letter first";
            problems.add(format!("{path}/name"), message);
        }
        if outputs::RESERVED.contains(&config.name.as_str()) {
            problems.add(format!("{path}/name"), format!("`{}` is the name of another output", config.name));
        }
        if config.question.trim().is_empty() {
            problems.add(format!("{path}/question"), "the question is empty");
        }
        if config.question.len() > TEXT_BYTES_MAX {
            problems.add(format!("{path}/question"), format!("over {TEXT_BYTES_MAX} bytes"));
        }
        let (low, high) = match (config.points, config.scale, mode) {
            (Some(points), None, _) => (0, points),
            (None, Some(scale), _) => scale,
            // Which answer is better needs no points.
            (None, None, Mode::Pairwise) => (0, 1),
            (None, None, Mode::Absolute) => {
                problems.add(path, "`points` or `scale` is needed");
                (0, 1)
            }
            (Some(_), Some(_), _) => {
                problems.add(path, "`points` and `scale` exclude each other");
                (0, 1)
            }
        };
        if low >= high || low < -POINTS_MAX || high > POINTS_MAX {
            let place = if config.scale.is_some() { "scale" } else { "points" };
            let message = format!("{low} to {high} is no range within {} to {POINTS_MAX}", -POINTS_MAX);
            problems.add(format!("{path}/{place}"), message);
        }
        if !(config.weight.is_finite() && config.weight > 0.0 && config.weight <= 1000.0) {
            problems
                .add(format!("{path}/weight"), format!("{} is not over 0 and at most 1000", config.weight));
        }
        let mut anchors = BTreeMap::new();
        for (points, meaning) in config.anchors {
            match points.parse() {
                Ok(number) if (low..=high).contains(&number) => {
                    anchors.insert(number, meaning);
                }
                _ => {
                    let escaped = points.replace('~', "~0").replace('/', "~1");
                    let message = format!("`{points}` is no whole number from {low} to {high}");
                    problems.add(format!("{path}/anchors/{escaped}"), message);
                }
            }
        }
        Self {
            name: config.name,
            question: config.question,
            low,
            high,
            anchors,
            weight: config.weight,
            cannot_tell: config.cannot_tell,
            evidence: config.evidence,
            way: config.direction,
        }
    }
}

fn profiles(config: &Config, problems: &mut Problems) -> Vec<String> {
    let profiles = match (&config.profile, config.jury.as_slice()) {
        (Some(profile), []) => vec![profile.clone()],
        (None, []) => {
            problems.add("/profile", "`profile` or `jury` is needed");
            Vec::new()
        }
        (Some(_), _) => {
            problems.add("/jury", "`profile` and `jury` exclude each other");
            Vec::new()
        }
        (None, [_]) => {
            problems.add("/jury", "a jury has at least two judges; one is a `profile`");
            Vec::new()
        }
        (None, jury) => jury.to_vec(),
    };
    if profiles.len() > JURY_MAX {
        problems.add("/jury", format!("{} judges are over {JURY_MAX}", profiles.len()));
    }
    for (index, profile) in profiles.iter().enumerate() {
        let path = if config.jury.is_empty() { "/profile".into() } else { format!("/jury/{index}") };
        if profile.is_empty() {
            problems.add(path.clone(), "the name is empty");
        }
        if profiles[..index].contains(profile) {
            problems.add(path, format!("`{profile}` is there twice"));
        }
    }
    profiles
}

/// What is wrong so far.
pub struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into() });
    }
}

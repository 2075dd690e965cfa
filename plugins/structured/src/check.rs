//! One check, ready to run: schemas are compiled once a batch.

use assay_plugin::prelude::*;
use jsonschema::Validator;

use crate::config::{CheckConfig, Extract, Kind};
use crate::extract::json_text;
use crate::numeric::{self, Tolerance};

/// A check that can score an item.
pub struct Check {
    name: String,
    negate: bool,
    rule: Rule,
}

enum Rule {
    JsonValid { extract: Extract },
    JsonSchema { schema: Box<Validator>, extract: Extract },
    Numeric { value: Option<f64>, tolerance: Tolerance, pointer: Option<String>, extract: Extract },
}

impl Check {
    /// Compiles a check. `path` is the JSON Pointer to its configuration.
    pub fn new(config: CheckConfig, path: &str) -> Result<Self, Problem> {
        let problem = |below: &str, message: String| Problem { path: format!("{path}{below}"), message };
        let (kind_name, rule) = match config.kind {
            Kind::JsonValid { extract } => ("json-valid", Rule::JsonValid { extract }),
            Kind::JsonSchema { schema, extract } => {
                let schema = jsonschema::validator_for(&schema).map_err(|error| {
                    problem(&format!("/schema{}", error.instance_path()), error.to_string())
                })?;
                ("json-schema", Rule::JsonSchema { schema: Box::new(schema), extract })
            }
            Kind::Numeric { value, absolute, relative, pointer, extract } => {
                for (name, tolerance) in [("absolute", absolute), ("relative", relative)] {
                    if !(tolerance >= 0.0 && tolerance.is_finite()) {
                        return Err(problem(&format!("/{name}"), format!("{tolerance} is no tolerance")));
                    }
                }
                if pointer.as_ref().is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                    return Err(problem("/pointer", "a JSON Pointer starts with `/`".into()));
                }
                let tolerance = Tolerance { absolute, relative };
                ("numeric", Rule::Numeric { value, tolerance, pointer, extract })
            }
        };
        let name = config.name.unwrap_or_else(|| kind_name.to_owned());
        if name.is_empty() {
            return Err(problem("/name", "the name is empty".into()));
        }
        Ok(Self { name, negate: config.negate, rule })
    }

    /// The output's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the host learns of this check.
    pub fn output(&self) -> Output {
        Output {
            name: self.name.clone(),
            capability: Capability::Score,
            kind: OutputKind::Boolean,
            direction: Direction::HigherIsBetter,
            description: None,
        }
    }

    /// The item's score; none where the check compares with expected numbers
    /// and the item has none.
    pub fn score(&self, item: &Interaction) -> Option<Score> {
        let (holds, reason) = match &self.rule {
            Rule::JsonValid { extract } => {
                match serde_json::from_str::<serde::de::IgnoredAny>(json_text(&item.actual, *extract)) {
                    Ok(_) => (true, None),
                    Err(error) => (false, Some(format!("not JSON: {error}"))),
                }
            }
            Rule::JsonSchema { schema, extract } => {
                match serde_json::from_str(json_text(&item.actual, *extract)) {
                    Ok(value) => match schema.validate(&value) {
                        Ok(()) => (true, None),
                        Err(error) => (false, Some(format!("at `{}`: {error}", error.instance_path()))),
                    },
                    Err(error) => (false, Some(format!("not JSON: {error}"))),
                }
            }
            Rule::Numeric { value, tolerance, pointer, extract } => {
                let actual = match pointer {
                    None => numeric::parse(&item.actual),
                    Some(pointer) => {
                        serde_json::from_str::<serde_json::Value>(json_text(&item.actual, *extract))
                            .ok()
                            .and_then(|value| number_at(&value, pointer))
                    }
                };
                let expected: Vec<f64> = match value {
                    Some(value) => vec![*value],
                    None => item.expected.iter().filter_map(|expected| numeric::parse(expected)).collect(),
                };
                if expected.is_empty() {
                    return None;
                }
                match actual {
                    Some(actual) => {
                        (expected.iter().any(|expected| tolerance.holds(actual, *expected)), None)
                    }
                    None => (false, Some("no number in the answer".into())),
                }
            }
        };
        let score = Score::new(&self.name, holds != self.negate);
        Some(match reason {
            Some(reason) => score.because(reason),
            None => score,
        })
    }
}

fn number_at(value: &serde_json::Value, pointer: &str) -> Option<f64> {
    let value = value.pointer(pointer)?;
    value.as_f64().or_else(|| numeric::parse(value.as_str()?))
}

#[cfg(test)]
mod tests {
    use crate::plugin::{configure, score_batch};
    use assay_plugin::prelude::*;

    fn holds(check: &str, actual: &str, expected: &[&str]) -> Option<bool> {
        let config = format!(r#"{{"checks":[{check}]}}"#);
        let item = Interaction::new("q", actual).with_expected(expected.iter().copied());
        let answers = score_batch(&config, &[item]);
        let scores = answers.into_iter().next().expect("one answer").expect("a valid configuration");
        scores.into_iter().next().map(|score| score.value == Value::Boolean(true))
    }

    #[test]
    fn json_valid_takes_one_value_and_nothing_after_it() {
        let check = r#"{"kind":"json-valid"}"#;
        for (actual, valid) in
            [("{\"a\":[1]}", true), ("3", true), ("{} {}", false), ("", false), ("{a:1}", false)]
        {
            assert_eq!(holds(check, actual, &[]), Some(valid), "{actual}");
        }
        assert_eq!(holds(r#"{"kind":"json-valid","negate":true}"#, "nope", &[]), Some(true));
        assert_eq!(
            holds(r#"{"kind":"json-valid","extract":"fenced"}"#, "So:\n```json\n{}\n```", &[]),
            Some(true)
        );
    }

    #[test]
    fn json_schema_says_where_an_answer_breaks_it() {
        let check = r#"{"kind":"json-schema","schema":{"type":"object","required":["age"],
            "properties":{"age":{"type":"integer","minimum":0}}}}"#;
        assert_eq!(holds(check, r#"{"age":3}"#, &[]), Some(true));
        assert_eq!(holds(check, "{}", &[]), Some(false));
        let config = format!(r#"{{"checks":[{check}]}}"#);
        let answers = score_batch(&config, &[Interaction::new("q", r#"{"age":-1}"#)]);
        let scores = answers.into_iter().next().expect("one answer").expect("a valid configuration");
        assert!(scores[0].reason.as_ref().is_some_and(|reason| reason.contains("/age")), "{scores:?}");
    }

    #[test]
    fn numeric_compares_the_answer_or_a_field_of_it() {
        assert_eq!(holds(r#"{"kind":"numeric","relative":0.01}"#, "1,005", &["1000"]), Some(true));
        assert_eq!(holds(r#"{"kind":"numeric"}"#, "1000.1", &["1000"]), Some(false));
        assert_eq!(holds(r#"{"kind":"numeric"}"#, "many", &["1000"]), Some(false));
        assert_eq!(holds(r#"{"kind":"numeric"}"#, "3", &["no number"]), None);
        assert_eq!(
            holds(
                r#"{"kind":"numeric","pointer":"/total","value":7,"absolute":0.5}"#,
                r#"{"total":"7.2"}"#,
                &[]
            ),
            Some(true)
        );
    }

    #[test]
    fn each_problem_of_a_configuration_has_its_pointer() {
        let cases = [
            (r#"{"checks":[]}"#, "/checks"),
            (r#"{"checks":[{"kind":"numeric","absolute":-1}]}"#, "/checks/0/absolute"),
            (r#"{"checks":[{"kind":"numeric","pointer":"total"}]}"#, "/checks/0/pointer"),
            (r#"{"checks":[{"kind":"json-schema","schema":{"type":"unicorn"}}]}"#, "/checks/0/schema/type"),
            (r#"{"checks":[{"kind":"json-valid"},{"kind":"json-valid"}]}"#, "/checks/1/name"),
        ];
        for (config, path) in cases {
            let problems = configure(config).expect_err(config);
            assert!(problems.iter().any(|problem| problem.path == path), "{config}: {problems:?}");
        }
    }
}

//! `assay calibration`: how far a scorer agrees with people, and what people
//! would say of all answers.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::review::{Daemon, client, evaluation_id};
use super::{Context, Failure, table};

/// What `--help` says beneath the options.
const HELP: &str = "\
Kappa is 0 where scorer and people agree as often as by chance, and 1 where always; it stands beside prevalence, because \
the same kappa means other things where nearly all answers are good. Weighted figures are about all answers that could have been \
reviewed, those of the reviewed answers about these alone. docs/reviews.md tells the rest.";

#[derive(Args)]
#[command(after_help = HELP)]
pub struct Calibration {
    /// The evaluation: its id or name
    evaluation: String,
    /// Its scorer, where it has several
    #[arg(long)]
    scorer: Option<String>,
    /// The scorer's output, where it has several
    #[arg(long)]
    output: Option<String>,
    /// Scores of this run only
    #[arg(long)]
    run: Option<String>,
    /// Only this request class; `unclassified` for those without
    #[arg(long)]
    class: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
}

pub async fn run(context: Context, command: Calibration) -> Result<(), Failure> {
    let daemon = client(&context, &command.daemon)?;
    let evaluation = evaluation_id(&daemon, &command.evaluation).await?.to_string();
    let mut query = vec![("evaluation", evaluation.as_str())];
    let options = [
        ("scorer", &command.scorer),
        ("output", &command.output),
        ("run", &command.run),
        ("class", &command.class),
    ];
    query.extend(options.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let calibration: Value = daemon.ask(Method::GET, "v1/calibration", &query, None).await?;
    // Of categories there is no mean.
    let is_category = calibration["scale"]["kind"] == "category";
    let quality: Value =
        if is_category { Value::Null } else { daemon.ask(Method::GET, "v1/quality", &query, None).await? };
    context.print(&json!({"calibration": calibration, "quality": quality}), |_| {
        print_calibration(&calibration);
        if !is_category {
            print_quality(&quality);
        }
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("–")
}

/// A figure with its interval, or why one of them is missing.
fn figure(figure: &Value) -> String {
    let value =
        figure["value"].as_f64().map_or_else(|| "undefined".to_owned(), |value| format!("{value:.4}"));
    match (&figure["interval"], &figure["reason"]) {
        (Value::Object(interval), _) => {
            let end = |name: &str| interval[name].as_f64().unwrap_or(f64::NAN);
            format!("{value} [{:.4}, {:.4}]", end("low"), end("high"))
        }
        (_, Value::String(reason)) => format!("{value} ({})", reason.replace('_', " ")),
        _ => value,
    }
}

fn print_calibration(report: &Value) {
    println!("{}.{} · run {}", text(&report["scorer"]), text(&report["output"]), text(&report["run"]));
    println!("{}: {}", text(&report["calibration"]).replace('_', " "), text(&report["words"]));
    for reason in report["reasons"].as_array().into_iter().flatten() {
        println!("  {}", text(reason));
    }
    let mut figures = table::table(&["agreement", "weighted", "of the reviewed answers"]);
    let (weighted, reviewed) = (&report["weighted"], &report["of_reviewed"]);
    for name in ["accuracy", "kappa", "alpha", "spearman", "kendall", "bias", "absolute_error"] {
        if reviewed[name].is_object() {
            let weighted = if weighted.is_null() { "–".to_owned() } else { figure(&weighted[name]) };
            figures.add_row([name.replace('_', " "), weighted, figure(&reviewed[name])]);
        }
    }
    for name in ["n", "clusters"] {
        let count =
            |agreement: &Value| agreement[name].as_u64().map_or_else(|| "–".to_owned(), |n| n.to_string());
        figures.add_row([name.to_owned(), count(weighted), count(reviewed)]);
    }
    println!("{figures}");
    print_confusion(report);
    let mut parts = table::table(&["", "n", "accuracy", "kappa", "bias"]);
    for (list, name) in [("classes", "request_class"), ("weeks", "from")] {
        for row in report[list].as_array().into_iter().flatten() {
            let agreement = &row["agreement"];
            parts.add_row([
                text(&row[name]).to_owned(),
                agreement["n"].to_string(),
                figure(&agreement["accuracy"]),
                figure(&agreement["kappa"]),
                figure(&agreement["bias"]),
            ]);
        }
    }
    if parts.row_count() > 0 {
        println!("{parts}");
    }
    let humans = &report["humans"];
    if humans.is_object() {
        println!(
            "people among themselves: alpha {}, {} of {} answers reviewed twice",
            figure(&humans["alpha"]),
            humans["reviewed_twice"],
            humans["items"]
        );
    }
    let left_out = &report["left_out"];
    for (name, told) in [
        ("development", "labels were used to tune the rubric and do not count"),
        (
            "without_probability",
            "labels have no known probability: only the figures of the reviewed answers use them",
        ),
        ("of_other_scorer", "reviewed answers have no score of this build and configuration of the scorer"),
        ("skipped", "answers were skipped and judged by nobody"),
        ("unreachable", "answers could not be taken by any rule: nothing is claimed of them"),
    ] {
        if left_out[name].as_u64().is_some_and(|count| count > 0) {
            println!("! {} {told}", left_out[name]);
        }
    }
}

fn print_confusion(report: &Value) {
    let names: Vec<&str> = report["values"].as_array().into_iter().flatten().map(text).collect();
    let agreement = if report["weighted"].is_null() { &report["of_reviewed"] } else { &report["weighted"] };
    let Some(rows) = agreement["confusion"].as_array() else { return };
    let mut headings = vec!["people \\ scorer".to_owned()];
    headings.extend(names.iter().map(|name| (*name).to_owned()));
    headings.push("share".to_owned());
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut confusion = table::table(&headings);
    for ((name, row), share) in
        names.iter().zip(rows).zip(agreement["prevalence"].as_array().into_iter().flatten())
    {
        let mut cells = vec![(*name).to_owned()];
        cells.extend(
            row.as_array().into_iter().flatten().map(|cell| format!("{:.1}", cell.as_f64().unwrap_or(0.0))),
        );
        cells.push(format!("{:.2} %", 100.0 * share.as_f64().unwrap_or(0.0)));
        confusion.add_row(cells);
    }
    println!("{confusion}");
}

fn print_quality(report: &Value) {
    println!("what people would say of all answers:");
    let mut quality = table::table(&["", "estimate", "worth in independent labels"]);
    for (name, member) in
        [("corrected", "corrected"), ("labels alone", "human_only"), ("scorer alone", "scorer_only")]
    {
        let found = &report[member];
        if let Some(estimate) = found["estimate"].as_f64() {
            let told = figure(&json!({"value": estimate, "interval": found["interval"]}));
            let worth = found["effective_n"].as_f64().map_or_else(String::new, |n| format!("{n:.0}"));
            quality.add_row([name.to_owned(), told, worth]);
        }
    }
    if quality.row_count() > 0 {
        println!("{quality}");
    }
    if let Some(reason) = report["refused"].as_str() {
        println!("! no corrected estimate: {reason}");
    }
}

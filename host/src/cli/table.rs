//! Tables for people.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::runner::{CalibrationState, CompletionResult, FailureModes, RunResult, Share};
use crate::stats::Interval;

/// A table with these headings.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(headings);
    table
}

/// Prints what a run found.
pub fn print_result(result: &RunResult) {
    println!("{} · run {} · {}", result.run.definition.name, result.run.id, result.run.state.as_str());
    if let Some(all) = &result.completion {
        let mut classes =
            table(&["request class", "completed", "95 % interval", "n", "undetermined", "bounds"]);
        if result.classes.len() > 1
            || result.classes.iter().any(|class| class.request_class != "unclassified")
        {
            for class in &result.classes {
                classes.add_row(completion_row(&class.request_class, &class.completion));
            }
        }
        classes.add_row(completion_row("all", all));
        align_right(&mut classes, 1..6);
        println!("{classes}");
        if all.flagged {
            println!(
                "! {:.1} % of the answers are undetermined: do not rely on the rate, look at the bounds",
                100.0 * all.undetermined_share
            );
        }
    }
    let mut outputs = table(&["output", "scored", "mean", "min", "max", "failed", "skipped", "plugin"]);
    // What classifiers name has a table of its own.
    let scorers = result.scorers.iter().zip(&result.run.scorers);
    for (scorer, _) in scorers.filter(|(_, pinned)| !pinned.is_classifier()) {
        let failed: u64 = scorer.failed.iter().map(|row| row.count).sum();
        let skipped: u64 = scorer.skipped.iter().map(|row| row.count).sum();
        for output in &scorer.outputs {
            outputs.add_row([
                format!("{}.{}", scorer.name, output.name),
                output.scored.to_string(),
                number(output.mean),
                number(output.min),
                number(output.max),
                failed.to_string(),
                (skipped + output.missing).to_string(),
                format!("{} {} {}", scorer.plugin, scorer.version, &scorer.digest.to_string()[..19]),
            ]);
        }
    }
    align_right(&mut outputs, 1..7);
    println!("{outputs}");
    for scorer in &result.scorers {
        for output in &scorer.outputs {
            let Some(found) = &output.calibration else { continue };
            if found.calibration != CalibrationState::Calibrated {
                println!("! {}.{} is not calibrated: {}", scorer.name, output.name, found.words);
            }
        }
        for row in scorer.failed.iter().chain(&scorer.skipped) {
            let what = if row.cause.is_skip() { "skipped" } else { "failed" };
            println!("{}: {} {what}, {}: {}", scorer.name, row.count, row.cause.as_str(), row.example);
        }
    }
}

/// Prints how a run's answers failed.
pub fn print_failure_modes(found: &FailureModes) {
    for group in &found.groups {
        let mut modes = table(&["failure mode", "failures", "of failures", "of answers", "classifier"]);
        for mode in &group.modes {
            modes.add_row([
                mode.failure_mode.clone(),
                mode.of_failures.n.to_string(),
                share(&mode.of_failures),
                share(&mode.of_answers),
                mode.classifier.clone().unwrap_or_default(),
            ]);
        }
        align_right(&mut modes, 1..4);
        if let Some(name) = &group.group {
            println!("{name}: {} failures of {} answers", group.failures.n, group.answers);
        }
        println!("{modes}");
    }
}

fn share(found: &Share) -> String {
    let Some(value) = found.share else { return "–".into() };
    match found.interval {
        Some(Interval { low, high }) => {
            format!("{:.1} % ({:.1} – {:.1})", 100.0 * value, 100.0 * low, 100.0 * high)
        }
        None => format!("{:.1} % (too few)", 100.0 * value),
    }
}

fn completion_row(name: &str, found: &CompletionResult) -> [String; 6] {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let interval = found.interval.map_or_else(
        || "too few".into(),
        |interval| format!("{} – {}", percent(interval.low), percent(interval.high)),
    );
    [
        name.to_owned(),
        found.rate.map_or_else(|| "–".into(), percent),
        interval,
        found.n.to_string(),
        found.counts.undetermined.to_string(),
        format!("{} – {}", percent(found.bounds.low), percent(found.bounds.high)),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.4}"))
}

fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in table.column_iter_mut().skip(columns.start).take(columns.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

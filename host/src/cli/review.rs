//! `assay review`: people judge answers, over a daemon's API.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Context, Failure, table, wrong};
use crate::app::{DaemonClient, DaemonError, Received};
use crate::domain::ids::EvaluationId;

/// Lines that travel together have about this many bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// Bad lines that are printed for people.
const PRINTED_MAX: usize = 20;

/// Which daemon.
#[derive(Args)]
pub struct Daemon {
    /// Address of the daemon, with the token of ASSAY_TOKEN where it needs one; the configuration's `listen` where
    /// this is missing
    #[arg(long, env = "ASSAY_URL", value_name = "URL")]
    url: Option<String>,
}

/// Who reviews.
#[derive(Args)]
pub struct Reviewer {
    /// Name of the reviewer
    #[arg(long, env = "ASSAY_REVIEWER", value_name = "NAME")]
    reviewer: String,
}

#[derive(Subcommand)]
pub enum Review {
    /// Show the next answer of a queue, ask for each of the form's outputs, and go on
    ///
    /// At each question: Enter leaves the output out, `s` skips the answer, `u` takes the last verdict or skip back,
    /// `q` quits. With --json the answer is printed and nothing is asked: `assay review submit` takes the verdict.
    Next {
        /// Name of the queue
        queue: String,
        #[command(flatten)]
        reviewer: Reviewer,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Give a verdict on an answer that `next --json` printed
    Submit {
        /// The assignment's id
        assignment: String,
        /// The value of an output: true, false, a number or a category; may be given several times
        #[arg(long = "set", value_name = "OUTPUT=VALUE", value_parser = pair)]
        values: Vec<(String, String)>,
        /// A failure mode; may be given several times
        #[arg(long, value_name = "NAME")]
        failure_mode: Vec<String>,
        /// For other people
        #[arg(long)]
        notes: Option<String>,
        /// The verdict is used to tune the rubric
        #[arg(long)]
        development: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Pass an answer on that `next --json` printed
    Skip {
        /// The assignment's id
        assignment: String,
        /// Why, for people
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Take the last verdict or skip back
    Undo {
        /// Name of the queue
        queue: String,
        #[command(flatten)]
        reviewer: Reviewer,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Import verdicts: JSON lines, as `POST /v1/reviews/import` takes them
    ///
    /// A line that cannot be used is told by its number, and the others stay. What is imported again counts once. The
    /// command exits with 1 where not one line could be used.
    Import {
        /// The lines
        file: PathBuf,
        /// The evaluation whose form they fill in: its id or name
        #[arg(long, required_unless_present = "queue", conflicts_with = "queue")]
        evaluation: Option<String>,
        /// Its scorer, where it has several
        #[arg(long, requires = "evaluation")]
        scorer: Option<String>,
        /// A queue: its evaluation and scorer are meant, and verdicts with `gold` go into it
        #[arg(long)]
        queue: Option<String>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Show where a queue stands
    Status {
        /// Name of the queue
        queue: String,
        #[command(flatten)]
        daemon: Daemon,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((output, value)) if !output.is_empty() => Ok((output.to_owned(), value.to_owned())),
        _ => Err("an output, `=`, and its value".into()),
    }
}

pub async fn run(context: Context, command: Review) -> Result<(), Failure> {
    match command {
        Review::Next { queue, reviewer, daemon } => {
            let daemon = client(&context, &daemon)?;
            let session = Session { daemon, queue, reviewer: reviewer.reviewer };
            if context.json {
                let next = session.next().await?;
                println!("{}", serde_json::to_string_pretty(&next)?);
                return Ok(());
            }
            session.review().await
        }
        Review::Submit { assignment, values, failure_mode, notes, development, daemon } => {
            let values: serde_json::Map<_, _> =
                values.into_iter().map(|(output, value)| (output, typed(&value))).collect();
            let verdict = json!({
                "assignment": assignment, "values": values, "failure_modes": failure_mode, "notes": notes,
                "development": development,
            });
            let review: Value =
                client(&context, &daemon)?.ask(Method::POST, "v1/reviews", &[], Some(&verdict)).await?;
            context
                .print(&review, |review| println!("kept as review {}", review["id"].as_str().unwrap_or("?")))
        }
        Review::Skip { assignment, reason, daemon } => {
            let skip = json!({"assignment": assignment, "reason": reason});
            let daemon = client(&context, &daemon)?;
            let done: Value = daemon.ask(Method::POST, "v1/reviews/skip", &[], Some(&skip)).await?;
            context.print(&done, |_| println!("skipped"))
        }
        Review::Undo { queue, reviewer, daemon } => {
            let daemon = client(&context, &daemon)?;
            let undone = Session { daemon, queue, reviewer: reviewer.reviewer }.undo().await?;
            context.print(&undone, |undone| println!("{}", told_undone(undone)))
        }
        Review::Import { file, evaluation, scorer, queue, daemon } => {
            let daemon = client(&context, &daemon)?;
            let mut query = Vec::new();
            if let Some(evaluation) = evaluation {
                query.push(("evaluation", evaluation_id(&daemon, &evaluation).await?.to_string()));
            }
            query.extend(scorer.map(|scorer| ("scorer", scorer)));
            query.extend(queue.map(|queue| ("queue", queue)));
            import(&context, &daemon, &file, &query).await
        }
        Review::Status { queue, daemon } => {
            let daemon = client(&context, &daemon)?;
            let path = format!("v1/review-queues/{}/status", encoded(&queue));
            let status: Value = daemon.ask(Method::GET, &path, &[], None).await?;
            context.print(&status, print_status)
        }
    }
}

/// The daemon that is meant.
pub fn client(context: &Context, daemon: &Daemon) -> Result<DaemonClient, Failure> {
    let url = daemon.url.clone().unwrap_or_else(|| format!("http://{}", context.config.listen));
    let token = std::env::var("ASSAY_TOKEN").ok().filter(|token| !token.is_empty());
    match DaemonClient::new(&url, token) {
        Ok(client) => Ok(client),
        Err(error @ DaemonError::Url { .. }) => Err(wrong(error)),
        Err(error) => Err(error.into()),
    }
}

/// The id of an evaluation that is named by its id or its name.
pub async fn evaluation_id(daemon: &DaemonClient, name: &str) -> Result<EvaluationId, Failure> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let list: Vec<Value> = daemon.ask(Method::GET, "v1/evaluations", &[], None).await?;
    let found = list.iter().find(|evaluation| evaluation["name"] == name);
    found
        .and_then(|evaluation| evaluation["id"].as_str()?.parse().ok())
        .ok_or_else(|| wrong(format!("there is no evaluation `{name}`")))
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let mut url = reqwest::Url::parse("http://localhost/").expect("it is a URL");
    url.path_segments_mut().expect("it has a path").push(name);
    url.path().trim_start_matches('/').to_owned()
}

/// What was written, as JSON where it is true, false or a number.
fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::from(text),
    }
}

fn told_undone(undone: &Value) -> &'static str {
    if undone["review"].is_null() { "the skip is taken back" } else { "the verdict is taken back" }
}

/// One person at one queue.
struct Session {
    daemon: DaemonClient,
    queue: String,
    reviewer: String,
}

/// What a person answered to a question.
enum Said {
    Value(Value),
    Nothing,
    Skip,
    Undo,
    Quit,
}

/// How a person left an answer.
enum Judged {
    Verdict(Value),
    Skip,
    Undo,
    Quit,
}

impl Session {
    async fn next(&self) -> Result<Value, DaemonError> {
        let path = format!("v1/review-queues/{}/next", encoded(&self.queue));
        self.daemon.ask(Method::POST, &path, &[("reviewer", &self.reviewer)], None).await
    }

    async fn undo(&self) -> Result<Value, DaemonError> {
        let undo = json!({"queue": self.queue, "reviewer": self.reviewer});
        self.daemon.ask(Method::POST, "v1/reviews/undo", &[], Some(&undo)).await
    }

    async fn review(&self) -> Result<(), Failure> {
        let mut done = 0;
        loop {
            let next = self.next().await?;
            let assignment = &next["assignment"];
            if assignment.is_null() {
                println!("nothing is left for you in `{}`; {done} verdicts", self.queue);
                return Ok(());
            }
            show(assignment);
            match ask_form(assignment)? {
                Judged::Verdict(mut verdict) => {
                    verdict["assignment"] = assignment["id"].clone();
                    match self.daemon.ask::<Value>(Method::POST, "v1/reviews", &[], Some(&verdict)).await {
                        Ok(_) => done += 1,
                        // The person answers again, or the answer has gone to someone else.
                        Err(DaemonError::Refused { detail, .. }) => println!("! {detail}"),
                        Err(error) => return Err(error.into()),
                    }
                }
                Judged::Skip => {
                    let skip = json!({"assignment": assignment["id"]});
                    let _: Value = self.daemon.ask(Method::POST, "v1/reviews/skip", &[], Some(&skip)).await?;
                }
                Judged::Undo => match self.undo().await {
                    Ok(undone) => println!("{}", told_undone(&undone)),
                    Err(DaemonError::Refused { detail, .. }) => println!("! {detail}"),
                    Err(error) => return Err(error.into()),
                },
                Judged::Quit => {
                    println!("{done} verdicts");
                    return Ok(());
                }
            }
        }
    }
}

/// Text of others for a terminal: nothing in it may steer the terminal.
fn shown(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && !matches!(letter, '\n' | '\t') { '\u{fffd}' } else { letter })
        .collect()
}

fn show(assignment: &Value) {
    let (item, answer) = (&assignment["item"], &assignment["answer"]);
    let bar = "─".repeat(72);
    println!("{bar}");
    if let Some(class) = assignment["request_class"].as_str().filter(|class| *class != "unclassified") {
        println!("class: {}", shown(class));
    }
    for message in item["history"].as_array().into_iter().flatten() {
        let texts =
            message["parts"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
        let text: Vec<_> = texts.map(shown).collect();
        println!("{}: {}", message["role"].as_str().unwrap_or("?"), text.join("\n"));
    }
    println!("query:\n{}\n", shown(item["query"].as_str().unwrap_or("")));
    let documents = [&item["documents"], &answer["documents"]];
    for document in documents.into_iter().filter_map(Value::as_array).flatten() {
        let title = document["title"].as_str().or(document["id"].as_str()).unwrap_or("document");
        println!("[{}]\n{}\n", shown(title), shown(document["content"].as_str().unwrap_or("")));
    }
    for expected in item["expected"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("expected:\n{}\n", shown(expected));
    }
    println!("answer:\n{}\n", shown(answer["actual"].as_str().unwrap_or("")));
    for call in answer["tool_calls"].as_array().into_iter().flatten() {
        let (name, arguments) =
            (call["name"].as_str().unwrap_or("?"), call["arguments"].as_str().unwrap_or(""));
        println!("tool {} {}", shown(name), shown(arguments));
    }
    for score in assignment["scores"].as_array().into_iter().flatten() {
        let value = if score["category"].is_null() { &score["value"] } else { &score["category"] };
        println!("scored {}: {value}", score["output"].as_str().unwrap_or("?"));
    }
}

fn ask_form(assignment: &Value) -> Result<Judged, Failure> {
    let mut values = serde_json::Map::new();
    for output in assignment["form"].as_array().into_iter().flatten() {
        let name = output["name"].as_str().unwrap_or("?");
        if let Some(description) = output["description"].as_str() {
            println!("{}", shown(description));
        }
        match ask_output(name, &output["kind"])? {
            Said::Value(value) => drop(values.insert(name.to_owned(), value)),
            Said::Nothing => {}
            Said::Skip => return Ok(Judged::Skip),
            Said::Undo => return Ok(Judged::Undo),
            Said::Quit => return Ok(Judged::Quit),
        }
    }
    let Some(modes) = read_line("failure modes, by commas: ")? else { return Ok(Judged::Quit) };
    let Some(notes) = read_line("notes: ")? else { return Ok(Judged::Quit) };
    let modes: Vec<_> = modes.split(',').map(str::trim).filter(|mode| !mode.is_empty()).collect();
    let mut verdict = json!({"values": values, "failure_modes": modes});
    if !notes.is_empty() {
        verdict["notes"] = notes.into();
    }
    Ok(Judged::Verdict(verdict))
}

fn ask_output(name: &str, kind: &Value) -> Result<Said, Failure> {
    let number = &kind["number"];
    let categories: Vec<_> =
        kind["category"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let choices = if number.is_object() {
        format!("{} to {}", number["low"], number["high"])
    } else if categories.is_empty() {
        "y/n".to_owned()
    } else {
        let listed = (1..).zip(&categories).map(|(place, name)| format!("{place} {}", shown(name)));
        listed.collect::<Vec<_>>().join(", ")
    };
    loop {
        let Some(said) = read_line(&format!("{name} ({choices}): "))? else { return Ok(Said::Quit) };
        let value = match said.as_str() {
            "" => return Ok(Said::Nothing),
            "s" => return Ok(Said::Skip),
            "u" => return Ok(Said::Undo),
            "q" => return Ok(Said::Quit),
            text if number.is_object() => text.parse::<f64>().ok().map(Value::from),
            text if categories.is_empty() => match text {
                "y" | "yes" => Some(Value::Bool(true)),
                "n" | "no" => Some(Value::Bool(false)),
                _ => None,
            },
            text => {
                let place =
                    text.parse::<usize>().ok().and_then(|place| categories.get(place.checked_sub(1)?));
                place.or_else(|| categories.iter().find(|name| **name == text)).map(|name| Value::from(*name))
            }
        };
        match value {
            Some(value) => return Ok(Said::Value(value)),
            None => println!("? {choices}; Enter leaves it out, s skips, u takes the last one back, q quits"),
        }
    }
}

/// A line of the person's; none at the end of the input.
fn read_line(prompt: &str) -> Result<Option<String>, Failure> {
    if std::io::stdin().is_terminal() {
        print!("{prompt}");
        std::io::stdout().flush()?;
    }
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim().to_owned()))
}

async fn import(
    context: &Context,
    daemon: &DaemonClient,
    file: &std::path::Path,
    query: &[(&str, String)],
) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(format!("failed to read `{}`: {error}", file.display())))?;
    let mut url = reqwest::Url::parse("http://localhost/").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(query);
    let path = format!("v1/reviews/import?{}", url.query().unwrap_or_default());
    let mut imported = Received::default();
    let (mut chunk, mut before, mut lines) = (String::new(), 0, 0);
    for line in text.split_inclusive('\n').chain([""]) {
        let is_last = line.is_empty();
        if !chunk.is_empty() && (is_last || chunk.len() + line.len() > CHUNK_BYTES) {
            let mut received = daemon.send_lines(&path, Bytes::from(std::mem::take(&mut chunk))).await?;
            imported.accepted += received.accepted;
            imported.duplicates += received.duplicates;
            for rejected in &mut received.rejected {
                rejected.line += before;
            }
            imported.rejected.extend(received.rejected);
            before = lines;
        }
        chunk.push_str(line);
        lines += usize::from(!is_last);
    }
    let told = json!({
        "accepted": imported.accepted, "duplicates": imported.duplicates, "rejected": imported.rejected,
    });
    context.print(&told, |_| {
        for rejected in imported.rejected.iter().take(PRINTED_MAX) {
            eprintln!("line {}: {}", rejected.line, rejected.reason);
        }
        if imported.rejected.len() > PRINTED_MAX {
            eprintln!("… and {} more lines that cannot be used", imported.rejected.len() - PRINTED_MAX);
        }
        println!(
            "{} reviews are new, {} were there before, {} lines cannot be used",
            imported.accepted,
            imported.duplicates,
            imported.rejected.len()
        );
    })?;
    if imported.accepted + imported.duplicates == 0 {
        return Err(anyhow::anyhow!("not one line of `{}` could be used", file.display()).into());
    }
    Ok(())
}

fn print_status(status: &Value) {
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let cells = |row: &Value, members: &[&str]| -> Vec<String> {
        members
            .iter()
            .map(|member| match &row[*member] {
                Value::Null => "–".to_owned(),
                Value::String(text) => shown(text),
                Value::Number(number) if number.is_f64() => format!("{:.4}", number.as_f64().unwrap_or(0.0)),
                other => other.to_string(),
            })
            .collect()
    };
    let mut classes = table::table(&[
        "request class",
        "quota a week",
        "this week",
        "waiting",
        "let in",
        "reviewed",
        "twice",
        "skipped",
    ]);
    for class in list("classes") {
        classes.add_row(cells(
            &class,
            &[
                "request_class",
                "quota",
                "released_this_week",
                "waiting",
                "released",
                "reviewed",
                "twice_reviewed",
                "skipped",
            ],
        ));
    }
    println!("{classes}");
    let mut strata = table::table(&["request class", "rules", "probability", "seen", "taken", "left out"]);
    for stratum in list("strata") {
        strata.add_row(cells(
            &stratum,
            &["request_class", "rules", "probability", "candidates", "drawn", "left_out"],
        ));
    }
    println!("{strata}");
    let mut reviewers = table::table(&["reviewer", "reviewed", "skipped", "open", "known", "as known"]);
    for reviewer in list("reviewers") {
        reviewers.add_row(cells(
            &reviewer,
            &["reviewer", "reviewed", "skipped", "open", "gold_values", "gold_agreeing"],
        ));
    }
    println!("{reviewers}");
    let unclaimed = list("strata").iter().filter(|stratum| stratum["probability"] == 0.0).count();
    if unclaimed > 0 {
        println!("! nothing is taken of {unclaimed} strata: no estimate speaks of them");
    }
}

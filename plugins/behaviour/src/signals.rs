//! The signals of one session.

use std::collections::BTreeSet;

use assay_plugin::prelude::*;

use crate::config::{Complaint, Rules};
use crate::outputs::{Out, PAUSE_S_MAX};
use crate::rating::{Rating, rating};
use crate::similarity::Query;
use crate::timeline::{Place, Timeline, ended_at_us, nothing_asked_after};

/// Reasons of a model to stop before its answer was whole.
const CUT: [&str; 6] = ["length", "max_tokens", "cancelled", "canceled", "aborted", "error"];

/// What events say of an interaction, or of the session before any answer.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// The last time.
    copied_at_us: Option<i64>,
    retried: bool,
    reported: bool,
    abandoned: bool,
    left_at_us: Option<i64>,
    /// The last one that was not taken back.
    rating: Option<f64>,
}

/// What the next query says of an answer; each is none where it is not known.
#[derive(Debug, Clone, Copy, Default)]
struct Next {
    is_same: Option<bool>,
    is_rephrased: Option<bool>,
    similarity: Option<f64>,
    pause_s: Option<f64>,
}

impl Next {
    /// The session ends: nothing was asked again.
    const NONE: Self =
        Self { is_same: Some(false), is_rephrased: Some(false), similarity: None, pause_s: None };
}

/// Every signal of a session.
pub fn signals(rules: &Rules, session: &Session) -> Vec<Signal> {
    let (before, facts) = read_events(rules, session);
    let queries: Vec<_> = session.interactions.iter().map(|asked| Query::new(&asked.query)).collect();
    let asked: Vec<_> = session.interactions.iter().zip(&queries).collect();
    let mut signals = Vec::new();
    for (index, this) in asked.iter().enumerate() {
        let next = asked.get(index + 1).map_or(Next::NONE, |next| compare(rules, *this, *next));
        let judged = judge(rules, session, index, &facts[index], next);
        signals.extend(judged.into_iter().map(|(out, signal)| (out, signal.about(&this.0.id))));
    }
    signals.extend(before_any_answer(&before));
    signals.into_iter().filter(|(out, _)| out.is_given(rules)).map(|(_, signal)| signal).collect()
}

/// What is known of one interaction.
fn judge(rules: &Rules, session: &Session, index: usize, facts: &Facts, next: Next) -> Vec<(Out, Signal)> {
    let is_last = index + 1 == session.interactions.len();
    let retried = if facts.retried { Some(true) } else { next.is_same };
    let abandoned = facts.abandoned || (is_last && is_given_up(rules, &session.interactions[index], facts));
    let copied_last = facts.copied_at_us.is_some_and(|at_us| nothing_asked_after(at_us, index, session));
    let complaints = [
        (Complaint::Rephrase, next.is_rephrased),
        (Complaint::Retry, retried),
        (Complaint::Report, Some(facts.reported)),
        (Complaint::ThumbsDown, Some(facts.rating.is_some_and(|rating| rating < 0.0))),
        (Complaint::Abandon, Some(abandoned)),
    ];
    let (dissatisfied, reason) = any_of(complaints, &rules.complaints);
    let flags = [
        (Out::Rephrase, next.is_rephrased),
        (Out::Retry, retried),
        (Out::Copy, Some(facts.copied_at_us.is_some())),
        (Out::CopyThenLeave, Some(copied_last)),
        (Out::Report, Some(facts.reported)),
        (Out::Abandon, Some(abandoned)),
    ];
    let numbers = [
        (Out::RephraseSimilarity, next.similarity),
        (Out::Thumbs, facts.rating),
        (Out::TimeToNextMessage, next.pause_s),
    ];
    let flags = flags.into_iter().filter_map(|(out, yes)| Some((out, Signal::new(out.name(), yes?))));
    let numbers =
        numbers.into_iter().filter_map(|(out, number)| Some((out, Signal::new(out.name(), number?))));
    let dissatisfied = dissatisfied.map(|yes| {
        let signal = Signal { reason, ..Signal::new(Out::Dissatisfied.name(), yes) };
        (Out::Dissatisfied, signal)
    });
    flags.chain(numbers).chain(dissatisfied).collect()
}

/// What happened before any answer, which belongs to the session.
fn before_any_answer(facts: &Facts) -> Vec<(Out, Signal)> {
    let happened = [
        (Out::Retry, facts.retried),
        (Out::Copy, facts.copied_at_us.is_some()),
        (Out::Report, facts.reported),
        (Out::Abandon, facts.abandoned),
    ];
    let happened = happened.into_iter().filter(|(_, yes)| *yes);
    let rating = facts.rating.map(|rating| (Out::Thumbs, Signal::new(Out::Thumbs.name(), rating)));
    happened.map(|(out, yes)| (out, Signal::new(out.name(), yes))).chain(rating).collect()
}

/// What events say of the session before any answer, and of each interaction.
fn read_events(rules: &Rules, session: &Session) -> (Facts, Vec<Facts>) {
    let timeline = Timeline::new(&session.interactions);
    let mut before = Facts::default();
    let mut facts = vec![Facts::default(); session.interactions.len()];
    let (mut elsewhere, mut no_ratings) = (0_u32, 0_u32);
    for event in &session.events {
        let facts = match timeline.place(event, session) {
            Place::Interaction(index) => &mut facts[index],
            Place::Session => &mut before,
            Place::Elsewhere => {
                elsewhere += 1;
                continue;
            }
        };
        match event.kind.as_str() {
            "copied" => facts.copied_at_us = facts.copied_at_us.max(Some(event.at_us)),
            "retried" | "regenerated" => facts.retried = true,
            "reported" => facts.reported = true,
            "abandoned" => facts.abandoned = true,
            "left" => facts.left_at_us = Some(event.at_us),
            "rated" => match rating(event.value_json.as_deref(), rules.config.rating.as_ref()) {
                Some(Rating::Given(rating)) => facts.rating = Some(rating),
                Some(Rating::Withdrawn) => facts.rating = None,
                None => no_ratings += 1,
            },
            // The product's own.
            _ => {}
        }
    }
    for (count, what) in [
        (elsewhere, "that name an interaction which it does not have"),
        (no_ratings, "whose value is no rating on the configured scale"),
    ] {
        if count > 0 {
            log::info(&format!("session `{}`: ignored events {what}: {count}", session.id));
        }
    }
    (before, facts)
}

/// Whether any complaint that counts holds, and which; none where it hangs on
/// one that is not known.
fn any_of(
    complaints: [(Complaint, Option<bool>); 5],
    counted: &BTreeSet<Complaint>,
) -> (Option<bool>, Option<String>) {
    let counted: Vec<_> =
        complaints.into_iter().filter(|(complaint, _)| counted.contains(complaint)).collect();
    let held: Vec<_> = counted
        .iter()
        .filter(|(_, holds)| *holds == Some(true))
        .map(|(complaint, _)| complaint.as_str())
        .collect();
    if !held.is_empty() {
        return (Some(true), Some(held.join(", ")));
    }
    let all_known = counted.iter().all(|(_, holds)| holds.is_some());
    (all_known.then_some(false), None)
}

/// What a query says of the answer before it. A query that was not recorded
/// says nothing. Where pictures or files differ, the words do not count.
fn compare(
    rules: &Rules,
    (this, query): (&Interaction, &Query),
    (next, next_query): (&Interaction, &Query),
) -> Next {
    let pause_s = ended_at_us(this).zip(next.timing.started_at_us).and_then(|(ended_at_us, asked_at_us)| {
        let pause_s = asked_at_us.checked_sub(ended_at_us)? as f64 / 1e6;
        (0.0..=PAUSE_S_MAX).contains(&pause_s).then_some(pause_s)
    });
    let is_unknown = |asked: &Interaction| asked.query.trim().is_empty() && asked.query_media.is_empty();
    if is_unknown(this) || is_unknown(next) {
        return Next { pause_s, ..Next::default() };
    }
    if this.query_media != next.query_media {
        return Next { pause_s, ..Next::NONE };
    }
    let is_same = query.is_same(next_query);
    let similarity = query.similarity(next_query);
    let is_alike = similarity.is_some_and(|similarity| similarity >= rules.config.rephrase.similarity_min);
    Next { is_same: Some(is_same), is_rephrased: Some(is_alike && !is_same), similarity, pause_s }
}

/// Whether a session's last interaction looks given up, where such guesses are
/// asked for.
fn is_given_up(rules: &Rules, last: &Interaction, facts: &Facts) -> bool {
    let config = &rules.config.abandon;
    let is_empty =
        last.actual.trim().is_empty() && last.actual_media.is_empty() && last.tool_calls.is_empty();
    let is_cut = last.finish_reason.as_deref().is_some_and(|reason| CUT.contains(&reason));
    if config.after_bad_answer && (last.error.is_some() || is_empty || is_cut) {
        return true;
    }
    let was_of_use = facts.copied_at_us.is_some() || facts.rating.is_some_and(|rating| rating > 0.0);
    let left = config.left_within_s.zip(facts.left_at_us).zip(ended_at_us(last));
    left.is_some_and(|((within_s, left_at_us), ended_at_us)| {
        !was_of_use && left_at_us.saturating_sub(ended_at_us) as f64 / 1e6 <= within_s
    })
}

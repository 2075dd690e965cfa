//! When recurring work is due: five-field cron expressions in an IANA time zone.
//!
//! This module turns text into a [`CronSchedule`] and an instant into the next
//! due instant. It reads no clock and starts nothing. A schedule that was
//! parsed is due at least once.
//!
//! # Expressions
//!
//! `minute hour day-of-month month day-of-week`, each a list of values, ranges
//! and steps: `*`, `5`, `1-5`, `*/15`, `10-40/10`, `1,15`. Months may be `JAN`
//! to `DEC` and weekdays `SUN` to `SAT` in any case, also in ranges; 0 and 7 are
//! both Sunday, and a range may end in `SUN`. `5/20` means `5-59/20`, as in Go's
//! and Python's cron libraries (Vixie's cron drops such a step without a word and
//! Debian's refuses it). A step above the field's highest value is refused: it
//! would be a way to write one value. A macro is one of `@yearly`, `@annually`,
//! `@monthly`, `@weekly`, `@daily`, `@midnight`, `@nightly` and `@hourly`.
//!
//! # Days
//!
//! As in Vixie's cron: where neither day field begins with `*`, a day that
//! matches either is due, so `0 0 13 * FRI` is every 13th and every Friday. Where
//! one begins with `*`, both must match, so `0 0 */2 * MON` is every Monday with
//! an odd date.
//!
//! # Changes of the clock
//!
//! | hour field | skipped local time | repeated local time |
//! |---|---|---|
//! | begins with `*`: an interval | not made up for | due both times |
//! | anything else: an appointment | due once, at the first instant after the gap | due the first time only |
//!
//! So `*/15 * * * *` stays every 15 minutes of real time, and `30 2 * * *` runs
//! exactly once a day. Vixie's cron also counts a minute field that begins with
//! `*` as an interval; here `*/15 2 * * *` is an appointment, since on the day
//! without a two o'clock it would not run at all.
//!
//! The matching is our own because croner 4.0.3 makes `0 0 */2 * MON` due on
//! every odd date and every Monday, drops `*/15 2 * * *` in New York on
//! 2026-03-08, and refuses `5/20`.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

/// How far a search goes. The rarest day that five fields can name is 29 February
/// on a given weekday (`0 0 29 2 */7`), up to 40 years from one to the next.
const HORIZON_DAYS: usize = 41 * 366;

/// A cron expression and the time zone it is read in.
///
/// In JSON: `{ "cron": "30 3 * * *", "time_zone": "Europe/Berlin" }`, the zone
/// being `UTC` where it is not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct CronSchedule {
    expression: String,
    time_zone: Tz,
    minutes: Values,
    hours: Values,
    days_of_month: Values,
    months: Values,
    days_of_week: Values,
    day_rule: DayRule,
    cadence: Cadence,
}

/// Why an expression or a time zone was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The time zone has no such name.
    #[error("time zone `{0}` is not in the IANA database")]
    TimeZone(String),
    /// Fewer or more than five fields.
    #[error("cron `{expression}` has {count} fields, not five: minute hour day-of-month month day-of-week")]
    FieldCount {
        /// The whole expression.
        expression: String,
        /// How many fields it has.
        count: usize,
    },
    /// `@reboot`, which names an event.
    #[error("cron `{0}` names no time: a schedule cannot wait for a restart")]
    Reboot(String),
    /// Another word after `@`.
    #[error(
        "cron `{0}` is no macro: use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @nightly or @hourly"
    )]
    Macro(String),
    /// A value that is no number or name of its field.
    #[error("{field} `{text}` is not {expected}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// The value.
        text: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// A range whose end comes before its start.
    #[error("{field} `{text}` is a range that runs backwards")]
    Reversed {
        /// The field's name.
        field: &'static str,
        /// The range.
        text: String,
    },
    /// A step of zero, or above the field's highest value, or no number.
    #[error("{field} `{text}` has a step that is not a number from 1 to {max}")]
    Step {
        /// The field's name.
        field: &'static str,
        /// The range and its step.
        text: String,
        /// The highest step.
        max: u32,
    },
    /// Days that no month has, such as 30 February.
    #[error("cron `{0}` is never due")]
    NeverDue(String),
}

impl CronSchedule {
    /// Reads `expression` (five fields or a macro) in `time_zone` (an IANA name, in its exact case).
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, ScheduleError> {
        let time_zone = time_zone.parse().map_err(|_| ScheduleError::TimeZone(time_zone.to_owned()))?;
        let fields: Vec<&str> = expand(expression.trim())?.split_ascii_whitespace().collect();
        let &[minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
            let expression = expression.to_owned();
            return Err(ScheduleError::FieldCount { expression, count: fields.len() });
        };
        let starred = day_of_month.starts_with('*') || day_of_week.starts_with('*');
        let weekdays = DAY_OF_WEEK.parse(day_of_week)?;
        let schedule = Self {
            expression: expression.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            time_zone,
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days_of_month: DAY_OF_MONTH.parse(day_of_month)?,
            months: MONTH.parse(month)?,
            days_of_week: if weekdays.contains(7) { weekdays.with(0) } else { weekdays },
            day_rule: if starred { DayRule::Both } else { DayRule::Either },
            cadence: if hour.starts_with('*') { Cadence::Interval } else { Cadence::Appointment },
        };
        if schedule.days_from(NaiveDate::default()).next().is_none() {
            return Err(ScheduleError::NeverDue(schedule.expression));
        }
        Ok(schedule)
    }

    /// The expression as it was given, its blanks made single.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone the expression is read in.
    pub fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// The first due instant later than `instant`; none only at the end of representable time.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let zone = &self.time_zone;
        let local = self.clock(instant, Days::new(0))?;
        match self.cadence {
            Cadence::Appointment => self.first_due(local, instant, |minute| {
                let read = zone.from_local_datetime(&minute).earliest();
                read.or_else(|| GapInfo::new(&minute, zone)?.end)
            }),
            // The first and the second readings of repeated times are each in order, but not together.
            // A second reading still ahead may be a local time that the clock has already shown once,
            // so that search starts where the clock of the next day, then set back, would be now.
            Cadence::Interval => {
                let set_back = local.min(self.clock(instant, Days::new(1))?);
                let first = self.first_due(local, instant, |at| zone.from_local_datetime(&at).earliest());
                let second = self.first_due(set_back, instant, |at| zone.from_local_datetime(&at).latest());
                first.into_iter().chain(second).min()
            }
        }
    }

    /// The first local minute from `start` on that `read` maps to an instant later than `instant`.
    fn first_due(
        &self,
        start: NaiveDateTime,
        instant: DateTime<Utc>,
        read: impl Fn(NaiveDateTime) -> Option<DateTime<Tz>>,
    ) -> Option<DateTime<Utc>> {
        let minutes = self.days_from(start.date()).flat_map(|day| self.minutes_of(day));
        minutes.filter_map(read).map(|due| due.to_utc()).find(|due| *due > instant)
    }

    /// What a local clock shows at `instant` if it runs as it will run in `ahead` days.
    fn clock(&self, instant: DateTime<Utc>, ahead: Days) -> Option<NaiveDateTime> {
        let utc = instant.naive_utc();
        let offset = self.time_zone.offset_from_utc_datetime(&utc.checked_add_days(ahead)?);
        utc.checked_add_offset(offset.fix())
    }

    /// The matching days from `start` on, as far as the horizon.
    fn days_from(&self, start: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        start.iter_days().take(HORIZON_DAYS).filter(|day| self.matches_day(*day))
    }

    /// The matching minutes of a matching day.
    fn minutes_of(&self, day: NaiveDate) -> impl Iterator<Item = NaiveDateTime> {
        let minutes = (0..24).flat_map(|hour| (0..60).map(move |minute| (hour, minute)));
        minutes
            .filter(|(hour, minute)| self.hours.contains(*hour) && self.minutes.contains(*minute))
            .filter_map(move |(hour, minute)| day.and_hms_opt(hour, minute, 0))
    }

    fn matches_day(&self, day: NaiveDate) -> bool {
        let of_month = self.days_of_month.contains(day.day());
        let of_week = self.days_of_week.contains(day.weekday().num_days_from_sunday());
        self.months.contains(day.month())
            && match self.day_rule {
                DayRule::Both => of_month && of_week,
                DayRule::Either => of_month || of_week,
            }
    }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.expression, self.time_zone)
    }
}

impl TryFrom<Wire> for CronSchedule {
    type Error = ScheduleError;

    fn try_from(wire: Wire) -> Result<Self, ScheduleError> {
        Self::parse(&wire.cron, &wire.time_zone)
    }
}

impl From<CronSchedule> for Wire {
    fn from(schedule: CronSchedule) -> Self {
        Self { time_zone: schedule.time_zone.to_string(), cron: schedule.expression }
    }
}

/// A schedule in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    cron: String,
    #[serde(default = "utc")]
    time_zone: String,
}

fn utc() -> String {
    Tz::UTC.to_string()
}

/// How the two day fields combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DayRule {
    Both,
    Either,
}

/// What a change of the clock does to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cadence {
    Interval,
    Appointment,
}

/// A set of values below 64, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Values(u64);

impl Values {
    fn contains(self, value: u32) -> bool {
        self.0 & (1 << value) != 0
    }

    fn with(self, value: u32) -> Self {
        Self(self.0 | 1 << value)
    }
}

/// What one of the five fields may hold.
struct Field {
    name: &'static str,
    min: u32,
    /// What `*` and an open range such as `5/10` reach to.
    last: u32,
    /// The highest value: `last`, except that weekday 7 is Sunday again.
    max: u32,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
    expected: &'static str,
}

const MINUTE: Field =
    Field { name: "minute", min: 0, last: 59, max: 59, names: &[], expected: "a number from 0 to 59" };
const HOUR: Field =
    Field { name: "hour", min: 0, last: 23, max: 23, names: &[], expected: "a number from 0 to 23" };
const DAY_OF_MONTH: Field =
    Field { name: "day of month", min: 1, last: 31, max: 31, names: &[], expected: "a number from 1 to 31" };
const MONTH: Field = Field {
    name: "month",
    min: 1,
    last: 12,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    expected: "a number from 1 to 12 or a name from JAN to DEC",
};
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    min: 0,
    last: 6,
    max: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    expected: "a number from 0 to 7 or a name from SUN to SAT",
};

impl Field {
    /// The values that a comma-separated list names.
    fn parse(&self, list: &str) -> Result<Values, ScheduleError> {
        list.split(',').try_fold(Values(0), |values, item| {
            let (low, high, step) = self.parse_item(item)?;
            Ok((low..=high).step_by(step).fold(values, Values::with))
        })
    }

    /// The first value, the last value and the step of one item of a list.
    fn parse_item(&self, item: &str) -> Result<(u32, u32, usize), ScheduleError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.parse_step(step, item)?)),
            None => (item, None),
        };
        let (low, high) = if range == "*" {
            (self.min, self.last)
        } else if let Some((low, high)) = range.split_once('-') {
            let (low, end) = (self.parse_value(low)?, self.parse_value(high)?);
            // A week that ends in `SUN` ends in 7.
            (low, if high.eq_ignore_ascii_case("sun") && low > 0 { 7 } else { end })
        } else {
            let value = self.parse_value(range)?;
            (value, if step.is_some() { self.last.max(value) } else { value })
        };
        if low > high {
            return Err(ScheduleError::Reversed { field: self.name, text: item.to_owned() });
        }
        Ok((low, high, step.unwrap_or(1)))
    }

    fn parse_value(&self, text: &str) -> Result<u32, ScheduleError> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(index) => Some(self.min + index as u32),
            None => digits(text).filter(|value| (self.min..=self.max).contains(value)),
        };
        value.ok_or_else(|| ScheduleError::Value {
            field: self.name,
            text: text.to_owned(),
            expected: self.expected,
        })
    }

    fn parse_step(&self, text: &str, item: &str) -> Result<usize, ScheduleError> {
        let step = digits(text).filter(|step| (1..=self.max).contains(step));
        let refused = || ScheduleError::Step { field: self.name, text: item.to_owned(), max: self.max };
        step.map(|step| step as usize).ok_or_else(refused)
    }
}

/// A number without a sign.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The five fields that a macro stands for; other text is returned as it is.
fn expand(expression: &str) -> Result<&str, ScheduleError> {
    match expression.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" | "@nightly" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        "@reboot" => Err(ScheduleError::Reboot(expression.to_owned())),
        other if other.starts_with('@') => Err(ScheduleError::Macro(expression.to_owned())),
        _ => Ok(expression),
    }
}

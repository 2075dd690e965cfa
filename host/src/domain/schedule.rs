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
//! without a two o'clock it would not run at all. The time zone tables are those
//! of the build, and know no change of the clock after 2099.
//!
//! The matching is our own because croner 4.0.3 makes `0 0 */2 * MON` due on
//! every odd date and every Monday, drops `*/15 2 * * *` in New York on
//! 2026-03-08, and refuses `5/20`.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
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
    #[error("cron `{0}` is none of the macros @{list}", list = MACROS.map(|(name, _)| name).join(", @"))]
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
        let offset = zone.offset_from_utc_datetime(&instant.naive_utc());
        let today = instant.naive_utc().checked_add_offset(offset.fix())?.date();
        match self.cadence {
            Cadence::Appointment => self.first_due(today, instant, |minute| {
                let read = zone.from_local_datetime(&minute).earliest();
                read.or_else(|| GapInfo::new(&minute, zone)?.end)
            }),
            // The first and the second readings of repeated times are each in order, but not together.
            // A second reading still ahead may belong to yesterday, where a clock is set back past midnight.
            Cadence::Interval => {
                let first = self.first_due(today, instant, |at| zone.from_local_datetime(&at).earliest());
                let yesterday = today.pred_opt()?;
                let second = self.first_due(yesterday, instant, |at| zone.from_local_datetime(&at).latest());
                first.into_iter().chain(second).min()
            }
        }
    }

    /// The first local minute, from the day `start` on, that `read` maps to an instant later than `instant`.
    fn first_due(
        &self,
        start: NaiveDate,
        instant: DateTime<Utc>,
        read: impl Fn(NaiveDateTime) -> Option<DateTime<Tz>>,
    ) -> Option<DateTime<Utc>> {
        let minutes = self.days_from(start).flat_map(|day| self.minutes_of(day));
        minutes.filter_map(read).map(|due| due.to_utc()).find(|due| *due > instant)
    }

    /// The matching days from `start` on, as far as the horizon.
    fn days_from(&self, start: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        start.iter_days().take(HORIZON_DAYS).filter(|day| self.matches_day(*day))
    }

    /// The matching minutes of a matching day.
    fn minutes_of(&self, day: NaiveDate) -> impl Iterator<Item = NaiveDateTime> {
        let hours = (0..24).filter(|hour| self.hours.contains(*hour));
        let minutes = hours.flat_map(|hour| (0..60).map(move |minute| (hour, minute)));
        minutes
            .filter(|(_, minute)| self.minutes.contains(*minute))
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

/// The macros, without their `@`, and the fields they stand for.
const MACROS: [(&str, &str); 8] = [
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
    ("monthly", "0 0 1 * *"),
    ("weekly", "0 0 * * 0"),
    ("daily", "0 0 * * *"),
    ("midnight", "0 0 * * *"),
    ("nightly", "0 0 * * *"),
    ("hourly", "0 * * * *"),
];

/// The five fields that a macro stands for; text without an `@` is returned as it is.
fn expand(expression: &str) -> Result<&str, ScheduleError> {
    let Some(name) = expression.strip_prefix('@') else {
        return Ok(expression);
    };
    if name.eq_ignore_ascii_case("reboot") {
        return Err(ScheduleError::Reboot(expression.to_owned()));
    }
    let known = MACROS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, fields)| *fields).ok_or_else(|| ScheduleError::Macro(expression.to_owned()))
}

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveTime, TimeDelta, Timelike};
    use proptest::prelude::*;

    use super::*;

    fn schedule(expression: &str, time_zone: &str) -> CronSchedule {
        CronSchedule::parse(expression, time_zone).expect(expression)
    }

    /// The next `count` due instants as the local clock shows them, with the offset from UTC.
    fn next(expression: &str, time_zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = schedule(expression, time_zone);
        let mut instant: DateTime<Utc> = after.parse().expect(after);
        let mut due = Vec::new();
        for _ in 0..count {
            instant = schedule.next_after(instant).expect(expression);
            due.push(instant.with_timezone(&schedule.time_zone).format("%m-%d %H:%M%:z").to_string());
        }
        due
    }

    /// The next due days in UTC.
    fn days<const COUNT: usize>(expression: &str, after: &str) -> [String; COUNT] {
        let due = next(expression, "UTC", &format!("{after}T23:59:00Z"), COUNT);
        due.iter().map(|due| due[..5].to_owned()).collect::<Vec<_>>().try_into().expect(expression)
    }

    #[test]
    fn new_york_loses_an_hour_in_spring() {
        // 2026-03-08: 02:00 -05:00 becomes 03:00 -04:00, at 07:00 UTC.
        let next = |expression, count| next(expression, "America/New_York", "2026-03-08T06:20:00Z", count);
        assert_eq!(next("30 2 * * *", 2), ["03-08 03:00-04:00", "03-09 02:30-04:00"]);
        assert_eq!(next("*/15 2 * * *", 2), ["03-08 03:00-04:00", "03-09 02:00-04:00"]);
        assert_eq!(
            next("0,30 2,3 * * *", 3),
            ["03-08 03:00-04:00", "03-08 03:30-04:00", "03-09 02:00-04:00"]
        );
        assert_eq!(next("45 1-2 8 3 *", 2), ["03-08 01:45-05:00", "03-08 03:00-04:00"]);
        assert_eq!(next("*/20 * * * *", 3), ["03-08 01:40-05:00", "03-08 03:00-04:00", "03-08 03:20-04:00"]);
        assert_eq!(next("30 * * * *", 3), ["03-08 01:30-05:00", "03-08 03:30-04:00", "03-08 04:30-04:00"]);
        assert_eq!(next("30 */2 * * *", 2), ["03-08 04:30-04:00", "03-08 06:30-04:00"]);
    }

    #[test]
    fn new_york_repeats_an_hour_in_autumn() {
        // 2026-11-01: 02:00 -04:00 becomes 01:00 -05:00, at 06:00 UTC.
        let next = |expression, count| next(expression, "America/New_York", "2026-11-01T05:20:00Z", count);
        assert_eq!(next("30 1 * * *", 2), ["11-01 01:30-04:00", "11-02 01:30-05:00"]);
        assert_eq!(next("*/30 1 * * *", 2), ["11-01 01:30-04:00", "11-02 01:00-05:00"]);
        assert_eq!(next("*/30 1-2 * * *", 2), ["11-01 01:30-04:00", "11-01 02:00-05:00"]);
        assert_eq!(
            next("*/20 * * * *", 6),
            [
                "11-01 01:40-04:00",
                "11-01 01:00-05:00",
                "11-01 01:20-05:00",
                "11-01 01:40-05:00",
                "11-01 02:00-05:00",
                "11-01 02:20-05:00",
            ]
        );
        assert_eq!(next("10 * * * *", 2), ["11-01 01:10-05:00", "11-01 02:10-05:00"]);
    }

    #[test]
    fn an_appointment_is_not_repeated_when_asked_within_the_repeated_hour() {
        let due = next("30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", 1);
        assert_eq!(due, ["11-02 01:30-05:00"]);
    }

    #[test]
    fn berlin_changes_at_one_utc() {
        // 2026-03-29: 02:00 +01:00 becomes 03:00 +02:00. 2026-10-25: 03:00 +02:00 becomes 02:00 +01:00.
        let spring = |expression| next(expression, "Europe/Berlin", "2026-03-29T00:10:00Z", 2);
        let autumn = |expression| next(expression, "Europe/Berlin", "2026-10-25T00:10:00Z", 2);
        assert_eq!(spring("30 2 * * *"), ["03-29 03:00+02:00", "03-30 02:30+02:00"]);
        assert_eq!(spring("30 3 * * *"), ["03-29 03:30+02:00", "03-30 03:30+02:00"]);
        assert_eq!(autumn("30 2 * * *"), ["10-25 02:30+02:00", "10-26 02:30+01:00"]);
        assert_eq!(autumn("30 * * * *"), ["10-25 02:30+02:00", "10-25 02:30+01:00"]);
    }

    #[test]
    fn lord_howe_changes_by_half_an_hour() {
        // 2026-10-04: 02:00 +10:30 becomes 02:30 +11:00. 2026-04-05: 02:00 +11:00 becomes 01:30 +10:30.
        let spring = |expression| next(expression, "Australia/Lord_Howe", "2026-10-03T15:20:00Z", 2);
        let autumn = |expression| next(expression, "Australia/Lord_Howe", "2026-04-04T14:40:00Z", 2);
        assert_eq!(spring("15 2 * * *"), ["10-04 02:30+11:00", "10-05 02:15+11:00"]);
        assert_eq!(spring("45 2 * * *"), ["10-04 02:45+11:00", "10-05 02:45+11:00"]);
        assert_eq!(spring("*/20 * * * *"), ["10-04 02:40+11:00", "10-04 03:00+11:00"]);
        assert_eq!(autumn("45 1 * * *"), ["04-05 01:45+11:00", "04-06 01:45+10:30"]);
        assert_eq!(autumn("45 * * * *"), ["04-05 01:45+11:00", "04-05 01:45+10:30"]);
    }

    #[test]
    fn a_midnight_that_is_skipped_is_made_up_for_at_one() {
        // Santiago, 2026-09-06, and Cairo, 2026-04-24: 00:00 becomes 01:00.
        let santiago = next("@daily", "America/Santiago", "2026-09-05T12:00:00Z", 2);
        assert_eq!(santiago, ["09-06 01:00-03:00", "09-07 00:00-03:00"]);
        let cairo = next("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 2);
        assert_eq!(cairo, ["04-24 01:00+03:00", "04-25 00:00+03:00"]);
        // Santiago, 2026-04-05: 00:00 -03:00 becomes 23:00 -04:00 of the day before.
        let late = next("30 23 * * *", "America/Santiago", "2026-04-05T02:00:00Z", 2);
        assert_eq!(late, ["04-04 23:30-03:00", "04-05 23:30-04:00"]);
        let saturdays = next("30 * * * SAT", "America/Santiago", "2026-04-05T02:00:00Z", 3);
        assert_eq!(saturdays, ["04-04 23:30-03:00", "04-04 23:30-04:00", "04-11 00:30-04:00"]);
    }

    #[test]
    fn an_interval_goes_back_to_yesterday_with_the_clock() {
        // St. John's, 2010-11-07: 00:01 -02:30 becomes 23:01 -03:30 of the day before.
        let due = next("*/20 * * * SAT", "America/St_Johns", "2010-11-07T02:30:00Z", 3);
        assert_eq!(due, ["11-06 23:20-03:30", "11-06 23:40-03:30", "11-13 00:00-03:30"]);
    }

    #[test]
    fn the_day_that_apia_skipped_is_made_up_for_when_the_next_begins() {
        // 2011-12-30 has no minute there.
        let daily = next("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3);
        assert_eq!(daily, ["12-29 12:00-10:00", "12-31 00:00+14:00", "12-31 12:00+14:00"]);
        let yearly = next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", 2);
        assert_eq!(yearly, ["12-31 00:00+14:00", "12-30 12:00+14:00"]);
        let hourly = next("0 */12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 2);
        assert_eq!(hourly, ["12-29 12:00-10:00", "12-31 00:00+14:00"]);
    }

    #[test]
    fn two_restricted_day_fields_are_alternatives_and_a_star_makes_them_conditions() {
        // 2026-01-01 is a Thursday.
        assert_eq!(days("0 0 13 * FRI", "2026-01-01"), ["01-02", "01-09", "01-13", "01-16"]);
        assert_eq!(
            days("0 0 1-31/2 * MON", "2026-01-01"),
            ["01-03", "01-05", "01-07", "01-09", "01-11", "01-12"]
        );
        assert_eq!(days("0 0 */2 * MON", "2026-01-01"), ["01-05", "01-19", "02-09", "02-23", "03-09"]);
        assert_eq!(days("0 0 1-7 * */7", "2026-01-01"), ["01-04", "02-01", "03-01", "04-05"]);
        assert_eq!(days("0 0 *,13 * FRI", "2026-01-01"), ["01-02", "01-09", "01-16"]);
        assert_eq!(days("0 0 13,* * FRI", "2026-01-01"), ["01-02", "01-03", "01-04"]);
        assert_eq!(days("0 0 * * FRI", "2026-01-01"), ["01-02", "01-09", "01-16"]);
        assert_eq!(days("0 0 13 * *", "2026-01-01"), ["01-13", "02-13", "03-13"]);
    }

    #[test]
    fn sunday_is_zero_and_seven() {
        for sundays in ["0", "7", "SUN", "sun", "0,7", "*/7", "0-0", "7-7", "SUN-SUN"] {
            assert_eq!(days(&format!("0 0 * * {sundays}"), "2026-01-01"), ["01-04", "01-11"], "{sundays}");
        }
        for weekends in ["5-7", "FRI-SUN", "5-sun", "Fri,6,0", "5/1,0", "5-7/1"] {
            let due = days(&format!("0 0 * * {weekends}"), "2026-01-01");
            assert_eq!(due, ["01-02", "01-03", "01-04", "01-09"], "{weekends}");
        }
        assert_eq!(days("0 0 * * SUN-TUE", "2026-01-01"), ["01-04", "01-05", "01-06", "01-11"]);
        assert_eq!(days("0 0 * * 0-7", "2026-01-01"), ["01-02", "01-03", "01-04", "01-05"]);
        assert_eq!(days("0 0 * * 1/2", "2026-01-01"), ["01-02", "01-05", "01-07", "01-09"]);
    }

    #[test]
    fn an_open_range_with_a_step_reaches_to_the_end() {
        let due = |expression| {
            let due = next(expression, "UTC", "2026-01-01T00:00:00Z", 4);
            due.iter().map(|due| due[6..11].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(due("5/20 * * * *"), ["00:05", "00:25", "00:45", "01:05"]);
        assert_eq!(due("1-10/3 * * * *"), ["00:01", "00:04", "00:07", "00:10"]);
        assert_eq!(due("*/25 * * * *"), ["00:25", "00:50", "01:00", "01:25"]);
        assert_eq!(due("7,50-51 * * * *"), ["00:07", "00:50", "00:51", "01:07"]);
    }

    #[test]
    fn macros_stand_for_their_fields() {
        let same = [
            ("@yearly", "0 0 1 1 *"),
            ("@annually", "0 0 1 JAN *"),
            ("@monthly", "0 0 1 * *"),
            ("@weekly", "0 0 * * SUN"),
            ("@daily", "0 0 * * *"),
            ("@midnight", "0 0 * * *"),
            ("@nightly", "0 0 * * *"),
            ("@Hourly", "0 * * * *"),
        ];
        for (name, fields) in same {
            let expression = name.to_owned();
            let expected = CronSchedule { expression, ..schedule(fields, "Africa/Cairo") };
            assert_eq!(schedule(name, "Africa/Cairo"), expected);
        }
    }

    #[test]
    fn the_rarest_days_are_found() {
        let next = |expression: &str, after: &str| {
            let due = schedule(expression, "UTC").next_after(after.parse().expect(after)).expect(after);
            due.date_naive().to_string()
        };
        assert_eq!(next("0 0 29 2 *", "2096-02-29T00:00:00Z"), "2104-02-29");
        // A Sunday's 29 February comes every 28 years, except around 2100: 2088, then 2128.
        assert_eq!(next("0 0 29 2 */7", "2060-02-29T00:00:00Z"), "2088-02-29");
        assert_eq!(next("0 0 29 2 */7", "2088-02-29T00:00:00Z"), "2128-02-29");
    }

    #[test]
    fn the_end_of_representable_time_is_no_panic() {
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"] {
            for expression in ["* * * * *", "0 0 * * *", "0 0 29 2 *"] {
                let schedule = schedule(expression, zone);
                assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
                let first = schedule.next_after(DateTime::<Utc>::MIN_UTC);
                assert!(first.is_none_or(|first| first > DateTime::<Utc>::MIN_UTC));
            }
        }
    }

    #[test]
    fn refusals_name_the_field_and_the_text() {
        let refused = [
            ("60 * * * *", "minute `60` is not a number from 0 to 59"),
            ("-5 * * * *", "minute `` is not a number from 0 to 59"),
            ("+5 * * * *", "minute `+5` is not a number from 0 to 59"),
            ("1,,2 * * * *", "minute `` is not a number from 0 to 59"),
            ("99999999999 * * * *", "minute `99999999999` is not a number from 0 to 59"),
            ("0 24 * * *", "hour `24` is not a number from 0 to 23"),
            ("0 *5 * * *", "hour `*5` is not a number from 0 to 23"),
            ("0 0 0 * *", "day of month `0` is not a number from 1 to 31"),
            ("0 0 L * *", "day of month `L` is not a number from 1 to 31"),
            ("0 0 ? * *", "day of month `?` is not a number from 1 to 31"),
            ("0 0 1 13 *", "month `13` is not a number from 1 to 12 or a name from JAN to DEC"),
            ("0 0 1 JUNE *", "month `JUNE` is not a number from 1 to 12 or a name from JAN to DEC"),
            ("0 0 * * 8", "day of week `8` is not a number from 0 to 7 or a name from SUN to SAT"),
            ("0 0 * * 1#2", "day of week `1#2` is not a number from 0 to 7 or a name from SUN to SAT"),
            ("10-5 * * * *", "minute `10-5` is a range that runs backwards"),
            ("0 0 * DEC-JAN *", "month `DEC-JAN` is a range that runs backwards"),
            ("0 0 * * 6-0", "day of week `6-0` is a range that runs backwards"),
            ("*/0 * * * *", "minute `*/0` has a step that is not a number from 1 to 59"),
            ("*/90 * * * *", "minute `*/90` has a step that is not a number from 1 to 59"),
            ("0 0 1/ * *", "day of month `1/` has a step that is not a number from 1 to 31"),
            ("0 1/2/3 * * *", "hour `1/2/3` has a step that is not a number from 1 to 23"),
            ("", "cron `` has 0 fields, not five: minute hour day-of-month month day-of-week"),
            (
                "0 0 0 * * *",
                "cron `0 0 0 * * *` has 6 fields, not five: minute hour day-of-month month day-of-week",
            ),
            ("@reboot", "cron `@reboot` names no time: a schedule cannot wait for a restart"),
            (
                "@daily 5",
                "cron `@daily 5` is none of the macros \
                @yearly, @annually, @monthly, @weekly, @daily, @midnight, @nightly, @hourly",
            ),
            ("0 0 30 2 *", "cron `0 0 30 2 *` is never due"),
            ("0 0 31 4,6,9,11 *", "cron `0 0 31 4,6,9,11 *` is never due"),
        ];
        for (expression, message) in refused {
            let error = CronSchedule::parse(expression, "UTC").expect_err(expression);
            assert_eq!(error.to_string(), message);
        }
        let error = CronSchedule::parse("@daily", "Berlin").expect_err("no such zone");
        assert_eq!(error.to_string(), "time zone `Berlin` is not in the IANA database");
    }

    #[test]
    fn json_keeps_the_expression_and_the_zone() {
        let json = r#"{"cron":"30 3 * * *","time_zone":"Europe/Berlin"}"#;
        let read: CronSchedule = serde_json::from_str(json).expect(json);
        assert_eq!(read, schedule(" 30  3 * * * ", "Europe/Berlin"));
        assert_eq!(serde_json::to_string(&read).expect(json), json);
        assert_eq!(read.to_string(), "30 3 * * * Europe/Berlin");
        let json = r#"{"cron":"@daily"}"#;
        let read: CronSchedule = serde_json::from_str(json).expect(json);
        assert_eq!((read.expression(), read.time_zone()), ("@daily", Tz::UTC));
        for refused in
            [r#"{"cron":"@daily","zone":"UTC"}"#, r#"{"time_zone":"UTC"}"#, r#"{"cron":"* * * *"}"#]
        {
            assert!(serde_json::from_str::<CronSchedule>(refused).is_err(), "{refused}");
        }
    }

    /// Whether `instant`, a whole minute, is due: the rules of the module's docs told forwards, from an
    /// instant to its local times, where [`CronSchedule::next_after`] goes from local times to instants.
    fn is_due(schedule: &CronSchedule, instant: DateTime<Utc>) -> bool {
        let local = |instant: DateTime<Utc>| instant.with_timezone(&schedule.time_zone).naive_local();
        let matches = |local: NaiveDateTime| {
            schedule.matches_day(local.date())
                && schedule.hours.contains(local.hour())
                && schedule.minutes.contains(local.minute())
        };
        let minute = TimeDelta::minutes(1);
        let (shown, shown_before) = (local(instant), local(instant - minute));
        if schedule.cadence == Cadence::Interval {
            return matches(shown);
        }
        let already_shown = || (1..=180).any(|ago| local(instant - minute * ago) == shown);
        let skipped = std::iter::successors(Some(shown_before + minute), |at| Some(*at + minute));
        (matches(shown) && !already_shown()) || skipped.take_while(|at| *at < shown).any(matches)
    }

    fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
        let value = low..=high;
        prop_oneof![
            2 => Just("*".to_owned()),
            1 => (2..7_u32).prop_map(|step| format!("*/{step}")),
            1 => (value.clone(), 1..7_u32).prop_map(|(from, step)| format!("{from}/{step}")),
            2 => prop::collection::vec(value.clone(), 1..4).prop_map(|values| {
                values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
            }),
            1 => (value.clone(), value).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        ]
    }

    fn any_schedule() -> impl Strategy<Value = CronSchedule> {
        let hours = prop_oneof![field(0, 23), field(0, 3)];
        let days = prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 28)];
        let weekdays = prop_oneof![3 => Just("*".to_owned()), 1 => field(0, 6)];
        let zones = prop::sample::select(vec![
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "America/Santiago",
            "Africa/Cairo",
            "Pacific/Apia",
            "Antarctica/Troll",
            "America/St_Johns",
            "America/Havana",
            "Asia/Kathmandu",
        ]);
        (field(0, 59), hours, days, weekdays, zones).prop_map(|(minute, hour, day, weekday, zone)| {
            schedule(&format!("{minute} {hour} {day} * {weekday}"), zone)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        /// From a day before a change of the clock to two days after it, every minute agrees.
        #[test]
        fn nothing_due_is_missed_and_nothing_else_is_due(
            schedule in any_schedule(),
            day in 0..8_u64,
            change in prop::sample::select(vec![
                // The week of each zone's changes: New York and Havana, Berlin, Lord Howe and Santiago,
                // Cairo, Apia, and the minute after midnight at which St. John's changed until 2011.
                "2026-03-05", "2026-10-29", "2026-03-26", "2026-10-22", "2026-04-02", "2026-10-01",
                "2026-09-03", "2026-04-20", "2026-10-26", "2011-12-27", "2010-11-04", "2010-03-11",
            ]),
            second in 0..60_i64,
        ) {
            let day = change.parse::<NaiveDate>().expect(change) + Days::new(day);
            let start = day.and_time(NaiveTime::MIN).and_utc();
            let minutes = (0..2 * 24 * 60).map(|minute| start + TimeDelta::minutes(minute));
            let expected: Vec<_> = minutes.clone().filter(|at| is_due(&schedule, *at)).collect();
            let after = |instant: &DateTime<Utc>| schedule.next_after(*instant);
            let before = start - TimeDelta::seconds(1);
            let due = std::iter::successors(after(&before), after);
            let found: Vec<_> = due.take_while(|due| *due < start + TimeDelta::days(2)).collect();
            prop_assert_eq!(&found, &expected, "{}", schedule);

            // The answer depends on where the question is asked only by being later than it.
            for at in minutes.step_by(7) {
                let at = at + TimeDelta::seconds(second);
                if let Some(next) = expected.iter().find(|due| **due > at) {
                    prop_assert_eq!(schedule.next_after(at), Some(*next), "{} after {}", schedule, at);
                }
            }
        }
    }
}

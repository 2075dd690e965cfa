//! Cron schedules against croniter, an independent implementation in Python.
//!
//! `data/croniter-next.csv` was written by `data/croniter-next.py` beside it; its first line names the
//! versions. Each row is an expression, a zone, an instant and the next five due instants. The table stays
//! away from what croniter does otherwise than Vixie's cron: two day fields of which one begins with `*`,
//! and appointments at a change of the clock.

use std::collections::BTreeSet;

use assay::domain::schedule::CronSchedule;
use chrono::{DateTime, Utc};

#[test]
fn the_next_five_instants_are_those_of_croniter() {
    let table = include_str!("data/croniter-next.csv");
    let (mut expressions, mut zones) = (BTreeSet::new(), BTreeSet::new());
    for row in table.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let cells: Vec<&str> = row.split(';').collect();
        let [expression, zone, after, expected @ ..] = cells.as_slice() else { panic!("row {row}") };
        assert_eq!(expected.len(), 5, "{row}");
        let schedule = CronSchedule::parse(expression, zone).expect(row);
        let mut instant: DateTime<Utc> = after.parse().expect(row);
        for expected in expected {
            instant = schedule.next_after(instant).expect(row);
            assert_eq!(instant, expected.parse::<DateTime<Utc>>().expect(row), "{row}");
        }
        expressions.insert(*expression);
        zones.insert(*zone);
    }
    assert_eq!((expressions.len(), zones.len()), (48, 4));
}

"""Writes the table of tests/cron_agrees_with_croniter.rs: what croniter says is due next.

    python3 -m venv /tmp/cron-venv && /tmp/cron-venv/bin/pip install croniter==7.0.0 tzdata==2026.6
    /tmp/cron-venv/bin/python host/tests/data/croniter-next.py > host/tests/data/croniter-next.csv

Every start is in the middle of a month and far from a change of the clock. An expression in which two
day fields are given and one of them begins with `*` has no row: croniter takes the two for alternatives.
"""
from datetime import datetime, timezone
from importlib.metadata import version
from zoneinfo import ZoneInfo

from croniter import croniter

EXPRESSIONS = """
* * * * *
*/5 * * * *
*/7 * * * *
5/20 * * * *
3-40/9 * * * *
0,1,59 * * * *
17 * * * *
0 */6 * * *
15 3/7 * * *
*/20 9-17 * * *
0 9-17/4 * * *
30 3 * * *
59 23 * * *
0 0 * * *
45 12 * * 1-5
0 8 * * MON-FRI
0 8 * * fri-sun
0 0 * * 0
0 0 * * 7
5 4 * * sun
5 4 * * 2,4,6
5 4 * * 5-7
5 4 * * 1/2
5 4 * * */3
0 0 1 * *
0 12 15 * *
30 6 31 * *
30 6 1,15,31 * *
30 6 10-20/3 * *
30 6 5/10 * *
30 6 */9 * *
0 0 1 1 *
0 0 1 jan,jul *
0 12 10 FEB-apr *
10 10 * */5 *
10 10 * 3/4 2
0 0 29 2 *
0 0 13 * 5
20 1,13 1-7 * MON
0 22 24 12 6,7
0 0 31 1-12/2 tue
@hourly
@daily
@midnight
@weekly
@monthly
@yearly
@annually
""".split("\n")[1:-1]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]
STARTS = ["2026-01-14T10:17:23Z", "2027-08-17T22:40:00Z"]
COUNT = 5

print(f"# croniter {version('croniter')}, tzdata {version('tzdata')}")
print("expression;time_zone;after;" + ";".join(f"due_{n}" for n in range(1, COUNT + 1)))
for expression in EXPRESSIONS:
    for zone in ZONES:
        for start in STARTS:
            due = croniter(expression, datetime.fromisoformat(start).astimezone(ZoneInfo(zone)))
            due = [due.get_next(datetime).astimezone(timezone.utc) for _ in range(COUNT)]
            row = [expression, zone, start, *(f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in due)]
            print(";".join(row))

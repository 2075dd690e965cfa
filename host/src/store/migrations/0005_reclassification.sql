-- Classes that interactions had before they were classified anew, the earliest
-- first. Both are null as they were in `interaction`.
CREATE TABLE class_change (
    id INTEGER PRIMARY KEY,
    interaction INTEGER NOT NULL,
    request_class INTEGER REFERENCES name,
    class_rules INTEGER REFERENCES name,
    changed_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX class_change_of ON class_change (interaction);

-- Interactions that are there get the class that the rules of a version give
-- them. What was received after `last_row` has it already; all up to `seen_row`
-- was looked at.
CREATE TABLE reclassification (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    rules TEXT NOT NULL,
    from_us INTEGER,
    to_us INTEGER,
    state TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    finished_at_us INTEGER,
    last_row INTEGER NOT NULL,
    seen_row INTEGER NOT NULL,
    examined INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    kept INTEGER NOT NULL
) STRICT;
-- One at a time: two would undo each other's work.
CREATE UNIQUE INDEX reclassification_running ON reclassification (state) WHERE state = 'running';

-- Days whose hours are added up, so that a query of weeks reads few rows.
-- `changes` counts what happens to the blocks of a day's hours; the day's own blocks tell the same
-- where `built` is that count.
CREATE TABLE latency_day (
    day INTEGER PRIMARY KEY,
    changes INTEGER NOT NULL,
    built INTEGER
) STRICT;
INSERT INTO latency_day (day, changes) SELECT DISTINCT hour / 24, 1 FROM latency_block;

-- As `latency_block`, of a day. Parts from 8 on hold the same as those before
-- them in coarser cells, which tell nothing but input lengths apart.
CREATE TABLE latency_day_block (
    id INTEGER PRIMARY KEY,
    part INTEGER NOT NULL,
    day INTEGER NOT NULL,
    template INTEGER NOT NULL,
    template_version INTEGER NOT NULL,
    cells BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX latency_day_block_of ON latency_day_block (part, day, template, template_version);

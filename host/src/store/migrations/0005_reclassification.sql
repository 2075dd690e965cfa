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

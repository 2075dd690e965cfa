-- Which answers people judge, by the form that a scorer's outputs make.
CREATE TABLE review_queue (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    evaluation INTEGER NOT NULL REFERENCES evaluation,
    scorer TEXT NOT NULL,
    definition TEXT NOT NULL,
    next_release_at_us INTEGER,
    created_at_us INTEGER NOT NULL,
    changed_at_us INTEGER NOT NULL,
    deleted_at_us INTEGER
) STRICT;
CREATE UNIQUE INDEX review_queue_name ON review_queue (project, environment, name) WHERE deleted_at_us IS NULL;

-- How far a queue has looked through a run's answers; everything, once `complete`.
CREATE TABLE review_mark (
    queue INTEGER NOT NULL,
    run INTEGER NOT NULL,
    item INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    PRIMARY KEY (queue, run)
) STRICT, WITHOUT ROWID;

-- What a queue has looked at, by class and by the rules that applied, which may
-- have been changed since. Strata
-- that no rule takes are here too: no estimate speaks of them.
CREATE TABLE review_stratum (
    queue INTEGER NOT NULL,
    request_class TEXT NOT NULL,
    rules TEXT NOT NULL,
    probability REAL NOT NULL,
    candidates INTEGER NOT NULL,
    drawn INTEGER NOT NULL,
    left_out INTEGER NOT NULL,
    PRIMARY KEY (queue, request_class, rules, probability)
) STRICT, WITHOUT ROWID;

-- An answer that people judge: an interaction's row, which a later revision of
-- it has not; or an answer to an item, recorded (`recording`) or given to a run
-- (`run`). It goes with the answer, and everything said of it goes with it.
CREATE TABLE review_subject (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    interaction INTEGER UNIQUE,
    item INTEGER,
    trial INTEGER NOT NULL DEFAULT 0,
    recording TEXT NOT NULL DEFAULT '',
    run INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX review_subject_of_item ON review_subject (item, trial, recording, run) WHERE item IS NOT NULL;
CREATE INDEX review_subject_of_run ON review_subject (run) WHERE run > 0;

-- An answer in a queue. Without a `probability` it was put there by hand; with
-- no `released_at_us` it waits for the quota.
CREATE TABLE review_item (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL REFERENCES review_queue,
    subject INTEGER NOT NULL REFERENCES review_subject ON DELETE CASCADE,
    run INTEGER,
    request_class TEXT NOT NULL,
    rules TEXT NOT NULL,
    probability REAL,
    gold INTEGER NOT NULL,
    reviews_wanted INTEGER NOT NULL,
    position REAL NOT NULL,
    added_at_us INTEGER NOT NULL,
    released_at_us INTEGER,
    UNIQUE (queue, subject)
) STRICT;
CREATE INDEX review_item_of_subject ON review_item (subject);
CREATE INDEX review_item_waiting ON review_item (queue, request_class) WHERE released_at_us IS NULL;
CREATE INDEX review_item_open ON review_item (queue, position) WHERE released_at_us IS NOT NULL;

-- Who has an answer of a queue: `open` until it expires, `done` or `skipped`.
CREATE TABLE review_assignment (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    item INTEGER NOT NULL REFERENCES review_item ON DELETE CASCADE,
    reviewer TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    assigned_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    closed_at_us INTEGER,
    UNIQUE (item, reviewer)
) STRICT;
CREATE INDEX review_assignment_open ON review_assignment (expires_at_us) WHERE state = 'open';
CREATE INDEX review_assignment_of_reviewer ON review_assignment (reviewer, closed_at_us);

-- What people said. What is taken back stays, with `withdrawn_at_us`.
CREATE TABLE review (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid BLOB NOT NULL UNIQUE,
    subject INTEGER NOT NULL REFERENCES review_subject ON DELETE CASCADE,
    evaluation INTEGER NOT NULL REFERENCES evaluation,
    scorer TEXT NOT NULL,
    item INTEGER REFERENCES review_item ON DELETE CASCADE,
    reviewer TEXT NOT NULL,
    kind TEXT NOT NULL,
    development INTEGER NOT NULL,
    probability REAL,
    content TEXT NOT NULL,
    reviewed_at_us INTEGER NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    withdrawn_at_us INTEGER
) STRICT;
CREATE INDEX review_of_subject ON review (subject);
CREATE INDEX review_of_form ON review (evaluation, scorer, id);
CREATE INDEX review_of_item ON review (item) WHERE item IS NOT NULL;

-- Instants are integer microseconds UTC. Outside ids are 16-byte UUIDv7,
-- inside ids are integers. `project` and `environment` are in every unique
-- name, so that several can share a file later.

CREATE TABLE reference_set (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    UNIQUE (project, environment, name)
) STRICT;

CREATE TABLE reference_set_version (
    id INTEGER PRIMARY KEY,
    reference_set INTEGER NOT NULL REFERENCES reference_set,
    number INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    provenance TEXT NOT NULL,
    item_count INTEGER NOT NULL,
    recordings TEXT NOT NULL,
    -- Items of a version have consecutive ids.
    first_item INTEGER NOT NULL DEFAULT 0,
    last_item INTEGER NOT NULL DEFAULT -1,
    created_at_us INTEGER NOT NULL,
    UNIQUE (reference_set, number),
    UNIQUE (reference_set, content_hash)
) STRICT;

CREATE TABLE item (
    id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL REFERENCES reference_set_version,
    key TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    request_class TEXT,
    payload TEXT NOT NULL,
    UNIQUE (version, key)
) STRICT;

CREATE TABLE recorded_answer (
    id INTEGER PRIMARY KEY,
    item INTEGER NOT NULL REFERENCES item,
    recording TEXT NOT NULL,
    trial INTEGER NOT NULL,
    present INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX recorded_answer_of ON recorded_answer (item, recording, trial);

CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    changed_at_us INTEGER NOT NULL,
    deleted_at_us INTEGER
) STRICT;
CREATE UNIQUE INDEX evaluation_name ON evaluation (project, environment, name) WHERE deleted_at_us IS NULL;

CREATE TABLE schedule (
    evaluation INTEGER PRIMARY KEY REFERENCES evaluation,
    definition TEXT NOT NULL,
    next_due_at_us INTEGER
) STRICT;

CREATE TABLE plugin (
    digest BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    descriptor TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    accepted_at_us INTEGER NOT NULL
) STRICT;

-- Each time another build of a plugin became the current one. The last row of
-- a name is what counts; a row without a digest says that it was removed.
CREATE TABLE plugin_change (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB REFERENCES plugin,
    changed_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX plugin_change_name ON plugin_change (project, environment, name, id);

-- What was last seen under a file name of the watched folder, so that a
-- restart does not undo a rollback.
CREATE TABLE plugin_file (
    file TEXT PRIMARY KEY,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    evaluation INTEGER NOT NULL REFERENCES evaluation,
    trigger TEXT NOT NULL,
    state TEXT NOT NULL,
    state_detail TEXT NOT NULL,
    definition TEXT NOT NULL,
    version INTEGER REFERENCES reference_set_version,
    total INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    created_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX run_of_evaluation ON run (evaluation, id);
CREATE INDEX run_open ON run (state) WHERE state IN ('queued', 'running');

-- Provenance of a run's scores: one row a scorer, so that scores stay narrow.
CREATE TABLE run_scorer (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    plugin TEXT NOT NULL,
    plugin_version TEXT NOT NULL,
    digest BLOB NOT NULL REFERENCES plugin,
    contract TEXT NOT NULL,
    config TEXT NOT NULL,
    outputs TEXT NOT NULL,
    UNIQUE (run, position)
) STRICT;

-- An answer with every scorer's outcome committed. `completion` is 0 not
-- completed, 1 completed, 2 undetermined, null without a rule.
CREATE TABLE run_item (
    run INTEGER NOT NULL,
    item INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    completion INTEGER,
    PRIMARY KEY (run, item, trial)
) STRICT, WITHOUT ROWID;

CREATE TABLE score (
    run_scorer INTEGER NOT NULL,
    item INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    output INTEGER NOT NULL,
    value REAL,
    category TEXT,
    detail TEXT,
    PRIMARY KEY (run_scorer, item, trial, output)
) STRICT, WITHOUT ROWID;

-- Why there is no score. `output` is -1 where the whole scorer has none.
CREATE TABLE unscored (
    run_scorer INTEGER NOT NULL,
    item INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cause TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (run_scorer, item, trial, output)
) STRICT, WITHOUT ROWID;

CREATE TABLE target_answer (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    item INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    present INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX target_answer_of ON target_answer (run, item, trial);

CREATE TABLE token (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at_us INTEGER NOT NULL,
    revoked_at_us INTEGER
) STRICT;
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at_us IS NULL;

CREATE TABLE idempotency (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

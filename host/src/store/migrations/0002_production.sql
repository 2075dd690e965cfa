-- Texts that many rows repeat: classes, templates, models, users. Rows hold
-- the integer.
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- A user's visit. `key` is the client's name of it, with `s:` before a
-- session's and `c:` before a conversation's, of which there is a row for each
-- stretch between idle gaps. Null where an interaction stands alone.
CREATE TABLE session (
    -- Never given again: what extractors read meanwhile must not meet another.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid BLOB NOT NULL UNIQUE,
    key TEXT,
    user INTEGER REFERENCES name,
    first_at_us INTEGER NOT NULL,
    last_at_us INTEGER NOT NULL,
    last_received_at_us INTEGER NOT NULL,
    closed_at_us INTEGER,
    -- Counts what was added; extractors remember which count they have seen.
    revision INTEGER NOT NULL DEFAULT 0,
    extracted_revision INTEGER NOT NULL DEFAULT -1
) STRICT;
CREATE INDEX session_of_key ON session (key, id) WHERE key IS NOT NULL;
CREATE INDEX session_open ON session (last_received_at_us) WHERE closed_at_us IS NULL;
CREATE INDEX session_to_extract ON session (closed_at_us)
    WHERE closed_at_us IS NOT NULL AND extracted_revision < revision;

-- One interaction of production. What is filtered and aggregated has columns;
-- `payload` holds everything, compressed. The id outside follows from the
-- client's ids, so it also tells what is sent twice; it is null once a later
-- revision has taken the row's place.
CREATE TABLE interaction (
    -- Never given again: runs remember by it how far they have come.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid BLOB UNIQUE,
    superseded_by INTEGER,
    session INTEGER REFERENCES session,
    user INTEGER REFERENCES name,
    tenant INTEGER REFERENCES name,
    request_class INTEGER REFERENCES name,
    -- Version of the rules that gave the class; null where the client gave it.
    class_rules INTEGER REFERENCES name,
    template INTEGER REFERENCES name,
    template_version INTEGER REFERENCES name,
    model INTEGER REFERENCES name,
    service_version INTEGER REFERENCES name,
    started_at_us INTEGER NOT NULL,
    received_at_us INTEGER NOT NULL,
    total_us INTEGER,
    first_token_us INTEGER,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_tokens INTEGER,
    cost REAL,
    upstream_probability REAL,
    -- The product failed; the stream broke off; there is an answer to judge;
    -- query or answer came along; it was streamed, in one
    -- call of a model.
    failed INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    present INTEGER NOT NULL,
    has_content INTEGER NOT NULL,
    streamed INTEGER,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX interaction_started ON interaction (started_at_us);
CREATE INDEX interaction_of_session ON interaction (session) WHERE session IS NOT NULL;
CREATE INDEX interaction_of_user ON interaction (user) WHERE user IS NOT NULL;

-- Something that a user did. It may come before the interaction that it names.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    interaction_uid BLOB,
    session INTEGER REFERENCES session,
    user INTEGER REFERENCES name,
    at_us INTEGER NOT NULL,
    received_at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    value TEXT
) STRICT;
CREATE INDEX event_of_session ON event (session) WHERE session IS NOT NULL;
CREATE INDEX event_of_interaction ON event (interaction_uid) WHERE interaction_uid IS NOT NULL;
CREATE INDEX event_of_user ON event (user) WHERE user IS NOT NULL;
CREATE INDEX event_at ON event (at_us);

-- A run over production takes the interactions with these rows; what has no
-- end yet follows what comes in. All up to `seen_row` have their outcome.
ALTER TABLE run ADD COLUMN first_row INTEGER;
ALTER TABLE run ADD COLUMN last_row INTEGER;
ALTER TABLE run ADD COLUMN seen_row INTEGER;

-- Probability with which an interaction of a run was taken; those that every
-- draw takes have no row.
CREATE TABLE run_sample (
    run INTEGER NOT NULL,
    interaction INTEGER NOT NULL,
    probability REAL NOT NULL,
    PRIMARY KEY (run, interaction)
) STRICT, WITHOUT ROWID;

-- Traces of several spans, until nothing more is expected of them.
CREATE TABLE trace (
    id BLOB PRIMARY KEY,
    -- When it is to be assembled; null when it was and nothing came since.
    due_at_us INTEGER,
    root_seen INTEGER NOT NULL,
    last_received_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX trace_due ON trace (due_at_us) WHERE due_at_us IS NOT NULL;
CREATE INDEX trace_old ON trace (last_received_at_us);

-- `part` is 0 for the span itself, else a number that follows from the
-- content of a log record that belongs to it.
CREATE TABLE span (
    trace BLOB NOT NULL,
    span BLOB NOT NULL,
    part INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (trace, span, part)
) STRICT, WITHOUT ROWID;

-- Provenance of signals: one row for each build and configuration of an
-- extractor that has read sessions.
CREATE TABLE extractor (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    plugin TEXT NOT NULL,
    plugin_version TEXT NOT NULL,
    digest BLOB NOT NULL REFERENCES plugin,
    contract TEXT NOT NULL,
    config TEXT NOT NULL,
    outputs TEXT NOT NULL,
    UNIQUE (project, environment, name, digest, config)
) STRICT;

-- `interaction` is 0 where a signal is about the whole session.
CREATE TABLE signal (
    session INTEGER NOT NULL,
    extractor INTEGER NOT NULL,
    interaction INTEGER NOT NULL,
    output TEXT NOT NULL,
    value REAL,
    category TEXT,
    detail TEXT,
    PRIMARY KEY (session, extractor, interaction, output)
) STRICT, WITHOUT ROWID;
CREATE INDEX signal_of_interaction ON signal (interaction, output) WHERE interaction > 0;

-- Why an extractor has no signals of a session.
CREATE TABLE session_unscored (
    session INTEGER NOT NULL,
    extractor INTEGER NOT NULL,
    cause TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (session, extractor)
) STRICT, WITHOUT ROWID;

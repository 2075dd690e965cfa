-- A run's figures, from the moment on at which what they are computed from is
-- let go.
CREATE TABLE run_figures (
    run INTEGER PRIMARY KEY REFERENCES run,
    figures TEXT NOT NULL,
    frozen_at_us INTEGER NOT NULL
) STRICT;

-- How far a duty has come, so that each row is looked at once.
CREATE TABLE duty_mark (
    duty TEXT PRIMARY KEY,
    at_us INTEGER NOT NULL,
    row INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far the scores of a run over production were sent to a collector: all
-- rows up to `item`; everything, once `complete`.
CREATE TABLE score_export (
    run INTEGER PRIMARY KEY REFERENCES run,
    item INTEGER NOT NULL,
    complete INTEGER NOT NULL
) STRICT;

CREATE INDEX session_of_user ON session (user) WHERE user IS NOT NULL;
CREATE INDEX session_closed ON session (closed_at_us) WHERE closed_at_us IS NOT NULL;

-- Items that were taken from production have an interaction's id as their key.
CREATE INDEX item_of_key ON item (key);

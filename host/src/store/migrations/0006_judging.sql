-- Every call of a judge: what was asked and replied. `key` is the digest of
-- what was asked; a reply is found by it when the same is asked again.
-- `request` and `reply` are compressed. Without a reply there is a failure.
CREATE TABLE transcript (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    key BLOB NOT NULL,
    -- The run that paid for it.
    run INTEGER REFERENCES run,
    profile TEXT NOT NULL,
    model TEXT,
    request BLOB NOT NULL,
    reply BLOB,
    failure TEXT,
    finish_reason TEXT,
    usage TEXT NOT NULL,
    cost REAL,
    attempts INTEGER NOT NULL,
    asked_at_us INTEGER NOT NULL,
    latency_us INTEGER NOT NULL
) STRICT;
CREATE INDEX transcript_of_key ON transcript (key, id) WHERE reply IS NOT NULL;
CREATE INDEX transcript_of_profile ON transcript (profile, asked_at_us);
CREATE INDEX transcript_of_run ON transcript (run) WHERE run IS NOT NULL;

-- What a scorer was told about an answer, also where it was told from what was
-- replied before.
CREATE TABLE transcript_use (
    run_scorer INTEGER NOT NULL,
    item INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    transcript INTEGER NOT NULL REFERENCES transcript ON DELETE CASCADE,
    PRIMARY KEY (run_scorer, item, trial, transcript)
) STRICT, WITHOUT ROWID;
CREATE INDEX transcript_use_of ON transcript_use (transcript);

-- How fast production answers, by the hour. A row holds the cells of one hour,
-- template and version: of each model, request class, bucket of input lengths
-- and cache state that was met there, either the counts (part 0) or the sketch
-- of one metric (part 1 and up). Cells lie together because a query reads tens
-- of thousands of them and takes most of its time for finding rows.
--
-- `hour` counts hours since the Unix epoch, UTC. Names are integers of `name`,
-- 0 where there is none.
CREATE TABLE latency_block (
    id INTEGER PRIMARY KEY,
    part INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    template INTEGER NOT NULL,
    template_version INTEGER NOT NULL,
    cells BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX latency_block_of ON latency_block (part, hour, template, template_version);

-- Up to which interaction the blocks tell. `revision` counts their changes: who
-- prepared a change for an earlier one has to look again.
CREATE TABLE latency_cursor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    interaction INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO latency_cursor (id, interaction, revision) VALUES (1, 0, 0);

-- Hours whose blocks tell of interactions that no longer count. `marks` tells
-- whether another one came while the hour was being counted again.
CREATE TABLE latency_stale_hour (
    hour INTEGER PRIMARY KEY,
    marks INTEGER NOT NULL
) STRICT;

-- Customers are looked at one by one, from the rows.
CREATE INDEX interaction_of_tenant ON interaction (tenant) WHERE tenant IS NOT NULL;

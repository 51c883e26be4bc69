-- Roots of the log as a Merkle tree: one for each day that is over, and for whenever somebody asked.
CREATE TABLE log_seal (
    -- How many rows of the log it covers, from the first.
    size bigint PRIMARY KEY,
    day date NOT NULL,
    root bytea NOT NULL
);

-- How far the sealer has come: one row.
CREATE TABLE seal_progress (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    -- Day of the last row.
    day date,
    -- What the tree needs to grow: the roots of its complete parts, largest first.
    peaks bytea[] NOT NULL
);

-- The digest of every stream, up to where the sealer has come.
CREATE TABLE stream_seal (
    stream text PRIMARY KEY,
    version integer NOT NULL,
    digest bytea NOT NULL
) WITH (fillfactor = 80);

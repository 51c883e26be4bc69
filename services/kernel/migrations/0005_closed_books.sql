-- What long streams come to so far: a cold load reads what follows only. Nothing but a shortcut:
-- a row of another format is passed over, and all of them may be deleted at any time.
CREATE TABLE closed_books (
    originator_id text PRIMARY KEY,
    originator_version integer NOT NULL,
    format text NOT NULL,
    state bytea NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

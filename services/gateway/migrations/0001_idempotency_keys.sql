-- Answers given under an Idempotency-Key. The key of a row is the id of the command that the
-- request became, derived from caller, route and key: it names the caller, so no tenant column.
-- A row without status is a request still running, or one whose process died: its command may be
-- run again, because the services know its id.
CREATE TABLE idempotency_keys (
    command_id uuid PRIMARY KEY,
    route text NOT NULL,
    fingerprint bytea NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    headers jsonb,
    body bytea
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (started_at);

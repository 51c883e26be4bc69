-- The event table is the truth and the outbox. Column names and their meaning are those of the
-- Python package "eventsourcing", so that its recorders can read them; the rest is ours.
CREATE TABLE events (
    originator_id text NOT NULL,
    originator_version integer NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    recorded_at timestamptz NOT NULL,
    cause bytea NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX events_position ON events (notification_id);
CREATE UNIQUE INDEX events_event_id ON events (event_id);

-- Appends a batch of commands. Every command is kept whole or refused whole; a refused one does
-- not touch its neighbours.
--
-- The lock makes position order equal commit order: positions are given out under it, and it is
-- let go only after the commit is visible. So whoever has read up to a position has missed nothing
-- below it. Positions have no gaps for the same reason.
--
-- Several parallel arrays, one element per event; command_ordinals groups them. The loop in the
-- slow path is deliberate: a join of the arrays with the table makes the planner guess, and it
-- guesses quadratic plans.
CREATE FUNCTION append_events(
    command_ordinals integer[],
    originator_ids text[],
    originator_versions integer[],
    topics text[],
    states bytea[],
    event_ids uuid[],
    tenants text[],
    causes bytea[],
    OUT last_position bigint,
    OUT at timestamptz,
    OUT refused integer[]
) LANGUAGE plpgsql AS $$
DECLARE
    base bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7235001);
    SELECT coalesce(max(notification_id), 0) INTO base FROM events;
    at := clock_timestamp();
    refused := '{}';
    BEGIN
        INSERT INTO events
        SELECT e.originator_id, e.version, e.topic, e.state, base + e.n, e.event_id, e.tenant, at, e.cause
        FROM unnest(originator_ids, originator_versions, topics, states, event_ids, tenants, causes)
            WITH ORDINALITY AS e(originator_id, version, topic, state, event_id, tenant, cause, n);
        last_position := base + cardinality(originator_ids);
    EXCEPTION WHEN unique_violation THEN
        FOR i IN 1 .. cardinality(originator_ids) LOOP
            IF command_ordinals[i] = ANY (refused) THEN
                CONTINUE;
            END IF;
            PERFORM 1 FROM events
            WHERE originator_id = originator_ids[i] AND originator_version >= originator_versions[i]
            LIMIT 1;
            IF NOT FOUND THEN
                PERFORM 1 FROM events WHERE event_id = event_ids[i];
            END IF;
            IF FOUND THEN
                refused := refused || command_ordinals[i];
            END IF;
        END LOOP;
        INSERT INTO events
        SELECT e.originator_id, e.version, e.topic, e.state,
               base + row_number() OVER (ORDER BY e.n), e.event_id, e.tenant, at, e.cause
        FROM unnest(command_ordinals, originator_ids, originator_versions, topics, states, event_ids, tenants, causes)
            WITH ORDINALITY AS e(command, originator_id, version, topic, state, event_id, tenant, cause, n)
        WHERE NOT (e.command = ANY (refused));
        SELECT coalesce(max(notification_id), 0) INTO last_position FROM events;
    END;
END $$;

-- How far the service's own readers of its log have come: the relay and each read model.
CREATE TABLE checkpoints (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

-- How far each group has come in each partition of the feeds it hears. Position is the place in
-- the source's log, the same on every bus; a message at or below it has had its effect.
CREATE TABLE watermarks (
    group_name text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    bus_offset bigint NOT NULL DEFAULT -1,
    PRIMARY KEY (group_name, topic, partition)
);

-- Messages that could not be handled, and those of the same stream that wait behind them.
CREATE TABLE parked (
    group_name text NOT NULL,
    topic text NOT NULL,
    stream text NOT NULL,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    type text NOT NULL,
    envelope bytea NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    redrive boolean NOT NULL DEFAULT false,
    PRIMARY KEY (group_name, topic, stream, position)
);
CREATE INDEX parked_redrive ON parked (group_name, topic) WHERE redrive;

-- What is to happen at a time. A timer fires as a command of its own, once.
CREATE TABLE timers (
    timer_id text PRIMARY KEY,
    tenant text NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    due_at timestamptz NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL,
    traceparent text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    failed text
);
CREATE INDEX timers_due ON timers (due_at) WHERE failed IS NULL;

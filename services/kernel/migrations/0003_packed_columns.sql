-- Columns travel as one text each, their values joined by U+001F, absent ones written U+001E: a
-- client makes and a server splits such a text in a sixth of the time that an array takes. Neither
-- character occurs in JSON, and services/kernel/application/columns.py keeps both out of the rest.
CREATE FUNCTION unpacked(packed text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- One empty value and no value at all look the same; rows are only ever sent when there are any.
    SELECT CASE packed WHEN '' THEN '{""}' ELSE string_to_array(packed, E'\x1f', E'\x1e') END
$$;

DROP FUNCTION append_unit;
DROP FUNCTION append_events;

-- Appends a batch of commands. Every command is kept whole or refused whole; a refused one does
-- not touch its neighbours.
--
-- The lock makes position order equal commit order: positions are given out under it, and it is
-- let go only after the commit is visible. So whoever has read up to a position has missed nothing
-- below it. Positions have no gaps for the same reason.
--
-- One packed column per field, one value per event; ordinals say which events are one command. The
-- loop in the slow path is deliberate: a join of the columns with the table makes the planner
-- guess, and it guesses quadratic plans.
CREATE FUNCTION append_events(
    ordinals text,
    streams text,
    versions text,
    topics text,
    states text,
    ids text,
    causes text,
    OUT last_position bigint,
    OUT at timestamptz,
    OUT refused integer[]
) LANGUAGE plpgsql AS $$
DECLARE
    base bigint;
    commands integer[];
    originator_ids text[];
    originator_versions integer[];
    event_ids uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(7235001);
    SELECT coalesce(max(notification_id), 0) INTO base FROM events;
    at := clock_timestamp();
    refused := '{}';
    BEGIN
        INSERT INTO events
        SELECT e.stream, e.version::integer, e.topic, convert_to(e.state, 'UTF8'), base + e.n,
               e.id::uuid, split_part(e.stream, '/', 1), at, convert_to(e.cause, 'UTF8')
        FROM unnest(unpacked(streams), unpacked(versions), unpacked(topics), unpacked(states),
                    unpacked(ids), unpacked(causes))
            WITH ORDINALITY AS e(stream, version, topic, state, id, cause, n);
        GET DIAGNOSTICS last_position = ROW_COUNT;
        last_position := base + last_position;
    EXCEPTION WHEN unique_violation THEN
        commands := unpacked(ordinals)::integer[];
        originator_ids := unpacked(streams);
        originator_versions := unpacked(versions)::integer[];
        event_ids := unpacked(ids)::uuid[];
        FOR i IN 1 .. cardinality(originator_ids) LOOP
            IF commands[i] = ANY (refused) THEN
                CONTINUE;
            END IF;
            PERFORM 1 FROM events
            WHERE originator_id = originator_ids[i] AND originator_version >= originator_versions[i]
            LIMIT 1;
            IF NOT FOUND THEN
                PERFORM 1 FROM events WHERE event_id = event_ids[i];
            END IF;
            IF FOUND THEN
                refused := refused || commands[i];
            END IF;
        END LOOP;
        INSERT INTO events
        SELECT e.stream, e.version, e.topic, convert_to(e.state, 'UTF8'),
               base + row_number() OVER (ORDER BY e.n), e.id, split_part(e.stream, '/', 1), at,
               convert_to(e.cause, 'UTF8')
        FROM unnest(commands, originator_ids, originator_versions, unpacked(topics),
                    unpacked(states), event_ids, unpacked(causes))
            WITH ORDINALITY AS e(command, stream, version, topic, state, id, cause, n)
        WHERE NOT (e.command = ANY (refused));
        SELECT coalesce(max(notification_id), 0) INTO last_position FROM events;
    END;
END $$;

-- A consumer's unit of work in one statement: the watermark, the timers and the events of a batch.
--
-- Four round trips become one, and the transaction holds the append lock for one statement only.
-- Raises serialization_failure when the watermark is elsewhere or an event is refused, so that
-- nothing of the unit stays; the message says which of the two it was. What the unit does not have
-- (timers to withdraw, timers to set, events) is NULL.
CREATE FUNCTION append_unit(
    unit_group text,
    unit_topic text,
    unit_partition integer,
    from_position bigint,
    to_position bigint,
    unit_offset bigint,
    withdrawn text,
    timer_ids text,
    timer_tenants text,
    timer_names text,
    timer_keys text,
    timer_dues text,
    timer_correlations text,
    timer_causations text,
    timer_traceparents text,
    ordinals text,
    streams text,
    versions text,
    topics text,
    states text,
    ids text,
    causes text,
    OUT last_position bigint,
    OUT at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    appended record;
BEGIN
    UPDATE watermarks
    SET position = to_position, bus_offset = greatest(bus_offset, unit_offset)
    WHERE group_name = unit_group AND topic = unit_topic AND partition = unit_partition
        AND position = from_position;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'watermark moved' USING ERRCODE = 'OM001';
    END IF;
    IF withdrawn IS NOT NULL THEN
        DELETE FROM timers WHERE timer_id = ANY (unpacked(withdrawn));
    END IF;
    IF timer_ids IS NOT NULL THEN
        INSERT INTO timers (timer_id, tenant, name, key, due_at, correlation_id, causation_id, traceparent)
        SELECT * FROM unnest(unpacked(timer_ids), unpacked(timer_tenants), unpacked(timer_names),
            unpacked(timer_keys), unpacked(timer_dues)::timestamptz[], unpacked(timer_correlations),
            unpacked(timer_causations), unpacked(timer_traceparents))
        ON CONFLICT (timer_id) DO UPDATE
        SET due_at = excluded.due_at, attempts = 0, failed = NULL;
    END IF;
    IF streams IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO appended
    FROM append_events(ordinals, streams, versions, topics, states, ids, causes);
    IF cardinality(appended.refused) > 0 THEN
        RAISE EXCEPTION 'append refused' USING ERRCODE = 'OM002';
    END IF;
    last_position := appended.last_position;
    at := appended.at;
END $$;

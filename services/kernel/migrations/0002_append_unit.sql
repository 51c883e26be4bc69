-- A consumer's unit of work in one statement: the watermark, the timers and the events of a batch.
--
-- Four round trips become one, and the transaction holds the append lock for one statement only.
-- Raises serialization_failure when the watermark is elsewhere or an event is refused, so that
-- nothing of the unit stays; the message says which of the two it was.
CREATE FUNCTION append_unit(
    unit_group text,
    unit_topic text,
    unit_partition integer,
    from_position bigint,
    to_position bigint,
    unit_offset bigint,
    withdrawn text[],
    timer_ids text[],
    timer_tenants text[],
    timer_names text[],
    timer_keys text[],
    timer_dues timestamptz[],
    timer_correlations text[],
    timer_causations text[],
    timer_traceparents text[],
    originator_ids text[],
    originator_versions integer[],
    topics text[],
    states bytea[],
    event_ids uuid[],
    tenants text[],
    causes bytea[],
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
    IF cardinality(withdrawn) > 0 THEN
        DELETE FROM timers WHERE timer_id = ANY (withdrawn);
    END IF;
    IF cardinality(timer_ids) > 0 THEN
        INSERT INTO timers (timer_id, tenant, name, key, due_at, correlation_id, causation_id, traceparent)
        SELECT * FROM unnest(timer_ids, timer_tenants, timer_names, timer_keys, timer_dues,
            timer_correlations, timer_causations, timer_traceparents)
        ON CONFLICT (timer_id) DO UPDATE
        SET due_at = excluded.due_at, attempts = 0, failed = NULL;
    END IF;
    IF cardinality(originator_ids) = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO appended FROM append_events(
        array_fill(0, ARRAY[cardinality(originator_ids)]),
        originator_ids, originator_versions, topics, states, event_ids, tenants, causes
    );
    IF cardinality(appended.refused) > 0 THEN
        RAISE EXCEPTION 'append refused' USING ERRCODE = 'OM002';
    END IF;
    last_position := appended.last_position;
    at := appended.at;
END $$;

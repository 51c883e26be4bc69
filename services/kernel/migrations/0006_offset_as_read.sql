-- The offset beside a watermark is the one that was read, not the largest there ever was: topics that
-- are made anew (the broker lost its disk) begin at 0 again. Only who owns the partition gets here;
-- a negative offset is none.
--
-- A consumer's unit of work in one statement: the watermark, the timers and the events of a batch.
--
-- Four round trips become one, and the transaction holds the append lock for one statement only.
-- Raises serialization_failure when the watermark is elsewhere or an event is refused, so that
-- nothing of the unit stays; the message says which of the two it was. What the unit does not have
-- (timers to withdraw, timers to set, events) is NULL.
CREATE OR REPLACE FUNCTION append_unit(
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
    SET position = to_position, bus_offset = CASE WHEN unit_offset < 0 THEN bus_offset ELSE unit_offset END
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

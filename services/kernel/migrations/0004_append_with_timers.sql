-- A command that also sets or withdraws timers, in one statement instead of a transaction of four:
-- every round trip of a transaction is a time during which it holds the append lock or a row.
--
-- Raises OM002 when an event is refused, so that nothing stays. What the command does not have
-- (timers to withdraw, timers to set, events) is NULL.
CREATE FUNCTION append_with_timers(
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

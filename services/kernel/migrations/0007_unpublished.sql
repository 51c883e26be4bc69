-- Events whose public form could not be made, and that a person gave up: they are passed over.
CREATE TABLE unpublished (
    topic text NOT NULL,
    position bigint NOT NULL,
    stream text NOT NULL,
    event_id uuid NOT NULL,
    reason text NOT NULL,
    given_up_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, position)
);

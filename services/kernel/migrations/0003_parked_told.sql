-- Parked messages are also told on a topic; a row that was not told yet waits for it.
ALTER TABLE parked ADD COLUMN is_told boolean NOT NULL DEFAULT false;
CREATE INDEX parked_untold ON parked (group_name, topic) WHERE NOT is_told;

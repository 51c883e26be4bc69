-- The id of the topic that the offset beside a watermark is of: a topic that was made anew has the
-- same name and another id. Empty: not noted, or on a bus that has none.
ALTER TABLE watermarks ADD COLUMN bus_topic text NOT NULL DEFAULT '';

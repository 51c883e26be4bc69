-- When the first entry of a block occurred: a question about an earlier time passes the block over.
ALTER TABLE balance_mark
    ADD COLUMN begins_at timestamptz NOT NULL GENERATED ALWAYS AS (occurred[1]) STORED;

-- Rows of feeds that could not be posted: where they stood, and how to mend them. Only what names
-- the movement is kept, never the line itself, which may hold a customer.
CREATE TABLE quarantined_row (
    tenant text NOT NULL,
    source text NOT NULL,
    line bigint NOT NULL,
    kind text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    source_id text NOT NULL,
    quantity bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    remedy text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, source, line, kind)
);

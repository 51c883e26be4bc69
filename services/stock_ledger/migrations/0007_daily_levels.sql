-- What was there at the end of each day (UTC) on which something moved.
CREATE TABLE daily_level (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    day date NOT NULL,
    on_hand bigint NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (tenant, site_id, sku, day)
) WITH (fillfactor = 80);

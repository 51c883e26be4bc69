-- Books that went below zero, the newest time for each pair: what is to be counted.
CREATE TABLE discrepancy (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    missing bigint NOT NULL,
    cause text NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    counted_at timestamptz,
    version integer NOT NULL,
    PRIMARY KEY (tenant, site_id, sku)
) WITH (fillfactor = 80);
CREATE INDEX discrepancy_to_count ON discrepancy (tenant, site_id, sku) WHERE counted_at IS NULL;

-- What is kept back of free stock; see domain/stock_rule.py. Withdrawn rules keep no row.
CREATE TABLE stock_rule (
    tenant text NOT NULL,
    rule_id text NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL,
    site_id text NOT NULL,
    category_path text[] NOT NULL,
    sku text NOT NULL,
    quantity bigint NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (tenant, rule_id)
);
CREATE INDEX stock_rule_by_sku ON stock_rule (tenant, sku, site_id);

-- What is expected to arrive, and what of it has.
CREATE TABLE inbound (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    source_id text NOT NULL,
    quantity bigint NOT NULL,
    received bigint NOT NULL,
    due_at timestamptz NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (tenant, site_id, sku, source_id)
);

-- When somebody last saw the goods themselves: count, image, receipt.
CREATE TABLE sighting (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    seen_at timestamptz NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (tenant, site_id, sku)
) WITH (fillfactor = 80);

-- Names and categories of products, from the catalog's feed.
CREATE TABLE known_product (
    tenant text NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    category_path text[] NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (tenant, sku)
);

-- What the catalog's feed told: used to check and price what is placed.
CREATE TABLE catalog_product (
    tenant text NOT NULL,
    sku text NOT NULL,
    price_minor bigint NOT NULL,
    price_quantity bigint NOT NULL,
    currency text NOT NULL,
    unit text NOT NULL,
    temperature text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, sku)
);

CREATE TABLE catalog_site (
    tenant text NOT NULL,
    site_id text NOT NULL,
    is_active boolean NOT NULL,
    preparing_mode_ids text[] NOT NULL,
    handing_over_mode_ids text[] NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, site_id)
);

-- Every version of every mode; the newest is offered. Versions are immutable.
CREATE TABLE catalog_mode (
    tenant text NOT NULL,
    mode_id text NOT NULL,
    mode_version integer NOT NULL,
    choice_kind text NOT NULL,
    fee_minor bigint NOT NULL,
    currency text NOT NULL,
    steps text NOT NULL,
    PRIMARY KEY (tenant, mode_id, mode_version)
);

-- One row per order, as lists show it.
CREATE TABLE order_summary (
    tenant text NOT NULL,
    order_id text NOT NULL,
    customer_id text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    currency text NOT NULL,
    total_minor bigint NOT NULL,
    captured_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    line_count integer NOT NULL,
    placed_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, order_id)
) WITH (fillfactor = 80);
CREATE INDEX order_summary_by_customer ON order_summary (tenant, customer_id, placed_at, order_id);
CREATE INDEX order_summary_by_time ON order_summary (tenant, placed_at, order_id);

-- Everything that happened to an order, one row per event: its timeline and its detail.
CREATE TABLE order_timeline (
    tenant text NOT NULL,
    order_id text NOT NULL,
    version bigint NOT NULL,
    kind text NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    causation_id text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant, order_id, version)
);

-- One row per basket, as it is.
CREATE TABLE basket_view (
    tenant text NOT NULL,
    basket_id text NOT NULL,
    body text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, basket_id)
) WITH (fillfactor = 70);

-- One row per return case; fed by this service's own events.
CREATE TABLE return_case (
    tenant text NOT NULL,
    return_id text NOT NULL,
    order_id text NOT NULL,
    site_id text NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    lines jsonb NOT NULL,
    preview_minor bigint NOT NULL,
    refunded_minor bigint,
    clerk_id text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    opened_at timestamptz NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, return_id)
);
CREATE INDEX return_case_by_age ON return_case (tenant, opened_at, return_id);
CREATE INDEX return_case_by_order ON return_case (tenant, order_id, opened_at, return_id);
CREATE INDEX return_case_by_site ON return_case (tenant, site_id, opened_at, return_id);

-- What of an order was delivered, captured, claimed and refunded.
CREATE TABLE returnable_order (
    tenant text NOT NULL,
    order_id text NOT NULL,
    currency text NOT NULL,
    captured_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    delivered_at timestamptz,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, order_id)
);
CREATE TABLE returnable_line (
    tenant text NOT NULL,
    order_id text NOT NULL,
    line_id text NOT NULL,
    group_id text NOT NULL,
    sku text NOT NULL,
    delivered bigint NOT NULL,
    claimed bigint NOT NULL,
    net_minor bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, order_id, line_id, group_id)
);

-- The handovers and shipments of a site, and what delivery remembers of order's feed.

CREATE TABLE handover (
    tenant text NOT NULL,
    group_id text NOT NULL,
    order_id text NOT NULL,
    source_site_id text NOT NULL,
    handover_site_id text NOT NULL,
    status text NOT NULL,
    arrived_at timestamptz,
    locked_until timestamptz,
    promised_at timestamptz,
    lines jsonb NOT NULL,
    expected_position bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, group_id)
);

CREATE INDEX handover_of_site ON handover (tenant, handover_site_id, status, expected_position);
CREATE INDEX handover_of_site_any_status ON handover (tenant, handover_site_id, expected_position);

CREATE TABLE shipment (
    tenant text NOT NULL,
    group_id text NOT NULL,
    order_id text NOT NULL,
    source_site_id text NOT NULL,
    status text NOT NULL,
    carrier_id text NOT NULL,
    tracking_reference text NOT NULL,
    promised_at timestamptz,
    lines jsonb NOT NULL,
    expected_position bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, group_id)
);

CREATE INDEX shipment_of_site ON shipment (tenant, source_site_id, status, expected_position);
CREATE INDEX shipment_of_site_any_status ON shipment (tenant, source_site_id, expected_position);

-- Fed by order: a cancellation names the order only.
CREATE TABLE group_of_order (
    tenant text NOT NULL,
    order_id text NOT NULL,
    group_id text NOT NULL,
    kind text NOT NULL,
    PRIMARY KEY (tenant, order_id, group_id, kind)
);

-- What the stock ledger said last. The latest version wins.
CREATE TABLE stock_view (
    tenant text NOT NULL,
    sku text NOT NULL,
    site_id text NOT NULL,
    free bigint NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, sku, site_id)
);

-- What planning needs of a product.
CREATE TABLE product_view (
    tenant text NOT NULL,
    sku text NOT NULL,
    weight_g integer NOT NULL,
    temperature text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, sku)
);

-- Sites, extended sites, sales zones and modes, as planning reads them.
CREATE TABLE network_part (
    tenant text NOT NULL,
    kind text NOT NULL,
    part_id text NOT NULL,
    body json NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, kind, part_id)
);

-- Grows with every change of a network, so that readers know when to read it again.
CREATE TABLE network_change (
    tenant text PRIMARY KEY,
    version bigint NOT NULL
);

-- Networks and policies under the hash of their content: what decisions were made on.
CREATE TABLE planning_facts (
    tenant text NOT NULL,
    content_hash text NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (tenant, content_hash)
);

-- What each order asked for.
CREATE TABLE decision_request (
    tenant text NOT NULL,
    order_id text NOT NULL,
    body json NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, order_id)
);

-- Every decision with its receipt.
CREATE TABLE decision_receipt (
    tenant text NOT NULL,
    decision_id text NOT NULL,
    order_id text NOT NULL,
    revision integer NOT NULL,
    is_decided boolean NOT NULL,
    body json NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, decision_id)
);

CREATE UNIQUE INDEX decision_receipt_of_order ON decision_receipt (tenant, order_id, revision);

-- Receipts whose source id nobody has announced (yet): should somebody, they are taken off then.
CREATE TABLE unannounced_receipt (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    source_id text NOT NULL,
    received bigint NOT NULL,
    PRIMARY KEY (tenant, site_id, sku, source_id)
);

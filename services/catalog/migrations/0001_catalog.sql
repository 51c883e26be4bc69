-- What the catalog answers with: the newest state of everything, and every version of a mode.

CREATE TABLE product (
    tenant text NOT NULL,
    sku text NOT NULL,
    -- Levels, each followed by U+001F, so that a prefix of levels is a prefix of the text.
    category text NOT NULL,
    -- Name, sku and barcode without case and accents.
    search text NOT NULL,
    content jsonb NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, sku)
);

CREATE TABLE site (
    tenant text NOT NULL,
    site_id text NOT NULL,
    type text NOT NULL,
    postcode text NOT NULL,
    latitude_e6 integer NOT NULL,
    longitude_e6 integer NOT NULL,
    is_active boolean NOT NULL,
    content jsonb NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, site_id)
);

CREATE INDEX site_by_postcode ON site (tenant, postcode text_pattern_ops);

CREATE TABLE extended_site (
    tenant text NOT NULL,
    extended_site_id text NOT NULL,
    content jsonb NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, extended_site_id)
);

CREATE TABLE sales_zone (
    tenant text NOT NULL,
    sales_zone_id text NOT NULL,
    content jsonb NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, sales_zone_id)
);

CREATE TABLE mode_version (
    tenant text NOT NULL,
    mode_id text NOT NULL,
    version bigint NOT NULL,
    content jsonb NOT NULL,
    PRIMARY KEY (tenant, mode_id, version)
);

-- Sites that the catalog has told of: goods come back to one of them only.
CREATE TABLE known_site (
    tenant text NOT NULL,
    site_id text NOT NULL,
    PRIMARY KEY (tenant, site_id)
);

-- Fed by the catalog: messages call a product by its name.
CREATE TABLE product_name (
    tenant text NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, sku)
);

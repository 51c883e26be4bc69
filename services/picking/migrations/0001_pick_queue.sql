-- The queue of a site, the pick lists, and what picking remembers of other services' feeds.

CREATE TABLE task_queue (
    tenant text NOT NULL,
    task_id text NOT NULL,
    order_id text NOT NULL,
    site_id text NOT NULL,
    status text NOT NULL,
    picker_id text NOT NULL,
    claim_id text NOT NULL,
    line_count integer NOT NULL,
    accounted_line_count integer NOT NULL,
    released_at timestamptz NOT NULL,
    released_position bigint NOT NULL,
    promised_at timestamptz,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, task_id)
);

CREATE INDEX task_queue_of_site ON task_queue (tenant, site_id, status, released_position);
CREATE INDEX task_queue_of_site_any_status ON task_queue (tenant, site_id, released_position);
CREATE INDEX task_queue_of_claim ON task_queue (tenant, claim_id) WHERE claim_id <> '';

CREATE TABLE pick_list (
    tenant text NOT NULL,
    task_id text NOT NULL,
    line_id text NOT NULL,
    sku text NOT NULL,
    ordered_quantity bigint NOT NULL,
    picked_quantity bigint NOT NULL,
    short_quantity bigint NOT NULL,
    put_back_quantity bigint NOT NULL,
    short_reason text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, task_id, line_id)
);

-- Fed by the catalog.
CREATE TABLE product (
    tenant text NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    category_path text[] NOT NULL,
    temperature smallint NOT NULL,
    unit smallint NOT NULL,
    barcode text NOT NULL,
    is_weight_variable boolean NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, sku)
);

-- Fed by order: a cancellation names the order only.
CREATE TABLE task_of_order (
    tenant text NOT NULL,
    order_id text NOT NULL,
    task_id text NOT NULL,
    PRIMARY KEY (tenant, order_id, task_id)
);

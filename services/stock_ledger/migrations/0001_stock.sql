-- The balance of every product at every site.
CREATE TABLE availability (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    free bigint NOT NULL,
    held bigint NOT NULL CHECK (held >= 0),
    allocated bigint NOT NULL CHECK (allocated >= 0),
    picked bigint NOT NULL CHECK (picked >= 0),
    on_hand bigint NOT NULL,
    version integer NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, site_id, sku)
) WITH (fillfactor = 80);
CREATE INDEX availability_by_sku ON availability (tenant, sku, site_id);

-- Every entry, append only: the ledger's pages.
CREATE TABLE stock_entry (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    version integer NOT NULL,
    cause text NOT NULL,
    accounts text[] NOT NULL,
    quantities bigint[] NOT NULL,
    source_id text NOT NULL,
    reservation_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    free_after bigint NOT NULL,
    on_hand_after bigint NOT NULL,
    PRIMARY KEY (tenant, site_id, sku, version)
);

-- The life of every reservation.
CREATE TABLE reservation (
    tenant text NOT NULL,
    reservation_id text NOT NULL,
    order_id text NOT NULL,
    status text NOT NULL,
    plan_revision integer NOT NULL,
    expires_at timestamptz,
    version integer NOT NULL,
    PRIMARY KEY (tenant, reservation_id)
) WITH (fillfactor = 80);

-- What each reservation still has of each product at each site.
CREATE TABLE reserved_stock (
    tenant text NOT NULL,
    reservation_id text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    held bigint NOT NULL,
    allocated bigint NOT NULL,
    picked bigint NOT NULL,
    transit bigint NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (tenant, reservation_id, site_id, sku)
) WITH (fillfactor = 80);
CREATE INDEX reserved_stock_open ON reserved_stock (tenant, site_id, sku, reservation_id)
    WHERE held + allocated + picked + transit > 0;

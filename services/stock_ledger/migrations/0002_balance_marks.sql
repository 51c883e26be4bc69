-- What a long stream comes to, block by block of entries, so that a question about the past reads
-- a few rows instead of every entry. Written once, never changed.
CREATE TABLE balance_mark (
    tenant text NOT NULL,
    site_id text NOT NULL,
    sku text NOT NULL,
    -- The last version of the block.
    version integer NOT NULL,
    -- The balance with it, by bucket.
    balance bigint[] NOT NULL,
    -- Nothing up to this version occurred later than this.
    settled_at timestamptz NOT NULL,
    recorded_until timestamptz NOT NULL,
    -- When the entries of the block occurred, in order of time, and what they come to by then:
    -- as many numbers for each as there are buckets.
    occurred timestamptz[] NOT NULL,
    changes bigint[] NOT NULL,
    -- What the block comes to by cause: how many entries, then a number for each bucket.
    causes jsonb NOT NULL,
    PRIMARY KEY (tenant, site_id, sku, version)
);

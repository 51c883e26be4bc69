-- API keys of retailers' platforms, in a database of its own (oms_access): no service reads it.
CREATE TABLE api_keys (
    tenant text NOT NULL CHECK (tenant <> ''),
    key_id text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    -- HMAC-SHA256 of the whole token under the installation's pepper; the secret itself is not kept.
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant, key_id)
);
-- A token names its key, not its tenant.
CREATE UNIQUE INDEX api_keys_key_id ON api_keys (key_id);

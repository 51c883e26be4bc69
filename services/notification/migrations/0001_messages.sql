-- Endpoints that tenants registered. A deleted one stays, without its secrets, so that its id does.
CREATE TABLE webhook (
    tenant text NOT NULL,
    endpoint_id text NOT NULL,
    url text NOT NULL,
    secret text NOT NULL,
    old_secret text NOT NULL DEFAULT '',
    old_secret_until timestamptz NOT NULL DEFAULT '-infinity',
    state text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled', 'deleted')),
    disabled_reason text NOT NULL DEFAULT '',
    request_id text NOT NULL,
    rotation_id text NOT NULL DEFAULT '',
    registered_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, endpoint_id)
);

-- The queue: one row per message, channel and endpoint. endpoint_id is empty for the mailbox.
CREATE TABLE delivery (
    tenant text NOT NULL,
    message_id text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('mailbox', 'webhook')),
    endpoint_id text NOT NULL,
    order_id text NOT NULL,
    group_id text NOT NULL,
    step_id text NOT NULL,
    occasion text NOT NULL,
    fr text NOT NULL,
    en text NOT NULL,
    occurred_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL,
    first_attempt_at timestamptz,
    next_attempt_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    fence bigint NOT NULL DEFAULT 0,
    last_outcome text NOT NULL DEFAULT '',
    redelivery_id text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, message_id, channel, endpoint_id)
);
CREATE INDEX delivery_mailbox_due ON delivery (next_attempt_at)
    WHERE state = 'pending' AND channel = 'mailbox';
CREATE INDEX delivery_webhook_due ON delivery (tenant, endpoint_id, next_attempt_at)
    WHERE state = 'pending' AND channel = 'webhook';
CREATE INDEX delivery_by_endpoint ON delivery (tenant, endpoint_id, queued_at, message_id)
    WHERE channel = 'webhook';

-- What the consumer finds on the page of his order; the key makes a second arrival nothing.
CREATE TABLE mailbox (
    tenant text NOT NULL,
    order_id text NOT NULL,
    message_id text NOT NULL,
    group_id text NOT NULL,
    step_id text NOT NULL,
    occasion text NOT NULL,
    fr text NOT NULL,
    en text NOT NULL,
    occurred_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (tenant, message_id)
);
CREATE INDEX mailbox_by_order ON mailbox (tenant, order_id, sequence, message_id);

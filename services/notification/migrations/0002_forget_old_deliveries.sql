-- Finds settled deliveries that are old enough to be forgotten.
CREATE INDEX delivery_settled ON delivery (queued_at) WHERE state <> 'pending';

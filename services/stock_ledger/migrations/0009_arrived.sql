-- What came of a despatch in receipts that name it; those with its very id are in "received".
ALTER TABLE inbound ADD COLUMN arrived bigint NOT NULL DEFAULT 0;

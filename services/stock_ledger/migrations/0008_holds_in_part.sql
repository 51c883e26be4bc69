-- Whom a reservation counts for, and what of it could not be held: [[site_id, sku, quantity],
-- ...] or nothing.
ALTER TABLE reservation ADD COLUMN holder_id text NOT NULL DEFAULT '';
ALTER TABLE reservation ADD COLUMN lacking text NOT NULL DEFAULT '';

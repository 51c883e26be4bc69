-- What the product is called in other languages, by which people look for it too.
ALTER TABLE known_product ADD COLUMN translations text[] NOT NULL DEFAULT '{}';

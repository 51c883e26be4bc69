-- Empty where the catalog says nothing in that language: then the one name is used.
ALTER TABLE product_name ADD COLUMN name_fr text NOT NULL DEFAULT '';
ALTER TABLE product_name ADD COLUMN name_en text NOT NULL DEFAULT '';

-- A line of weighed goods may be done with less than was ordered.
ALTER TABLE pick_list ADD COLUMN is_enough boolean NOT NULL DEFAULT false;

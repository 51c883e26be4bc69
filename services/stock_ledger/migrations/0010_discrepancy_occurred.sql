-- When what opened it happened: only who looked since then has answered the question. Questions of
-- before this column are answered by whatever is heard after they opened, as they were.
ALTER TABLE discrepancy ADD COLUMN occurred_at timestamptz NOT NULL DEFAULT '-infinity';

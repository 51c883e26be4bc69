-- Two rows of one source may have one line: rows of several calls that number none, and several
-- faults of one line. The part tells them apart: the call's id, or which of its line it is.
ALTER TABLE quarantined_row ADD COLUMN part text NOT NULL DEFAULT '1';
ALTER TABLE quarantined_row DROP CONSTRAINT quarantined_row_pkey;
ALTER TABLE quarantined_row ADD PRIMARY KEY (tenant, source, line, kind, part);

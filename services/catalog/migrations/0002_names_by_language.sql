-- What was written before these fields existed reads as it would be written today, so that the
-- tables still equal a replay from scratch.
UPDATE product SET content = content || '{"localized_name": {"fr": "", "en": ""}}'
WHERE NOT content ? 'localized_name';
UPDATE site SET content = content || '{"country": ""}' WHERE NOT content ? 'country';

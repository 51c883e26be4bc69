-- An order's timeline is read from its stream.
DROP TABLE order_timeline;
DELETE FROM checkpoints WHERE name = 'order_timeline';

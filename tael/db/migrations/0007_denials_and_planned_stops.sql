-- What the operator denies a merchant, and the planned stop of the whole gateway.

ALTER TABLE merchant ADD COLUMN denied text[] NOT NULL DEFAULT '{}'
    CHECK (denied <@ ARRAY['payment', 'refund', 'reversal', 'close']);

-- A row while it lasts.
CREATE TABLE maintenance_window (
    is_on  boolean PRIMARY KEY CHECK (is_on),
    reason text NOT NULL,
    since  timestamptz NOT NULL
);

-- What is kept of each payment, in the order it was given back, and the nightly seals over the ledger.

ALTER TABLE wallet_account ADD COLUMN fee_rate_ppm integer NOT NULL DEFAULT 0
    CHECK (fee_rate_ppm BETWEEN 0 AND 1000000);

-- The rate of the account when the payment was opened: a later rate changes nothing that was agreed on.
ALTER TABLE payment ADD COLUMN fee_rate_ppm integer NOT NULL DEFAULT 0
    CHECK (fee_rate_ppm BETWEEN 0 AND 1000000);

-- What of the payment had gone back before this refund did: fees come back by the running total, so that parts of a
-- refund sum to the whole. NULL until the refund is done.
ALTER TABLE refund ADD COLUMN refunded_before_minor bigint CHECK (refunded_before_minor >= 0);
UPDATE refund AS r SET refunded_before_minor = w.before_minor
FROM (
    SELECT mchid, syssn, (sum(amount_minor) OVER (
        PARTITION BY mchid, payment_syssn ORDER BY changed_at, syssn))::bigint - amount_minor AS before_minor
    FROM refund WHERE state = 'DONE'
) AS w
WHERE r.mchid = w.mchid AND r.syssn = w.syssn;

CREATE INDEX ledger_entry_of_day ON ledger_entry (mchid, at);

-- One link of a merchant's chain: SHA-256 over the link before it and the entries of one day in UTC+8.
CREATE TABLE ledger_digest (
    mchid            text NOT NULL,
    day              date NOT NULL,
    digest           text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    previous         text NOT NULL,
    entries          bigint NOT NULL CHECK (entries >= 0),
    closed_at        timestamptz NOT NULL,
    PRIMARY KEY (mchid, day)
);

-- When a merchant's days are sealed next. Entries are written no earlier than `closed_until`, so that a day which is
-- sealed, or about to be, cannot gain rows.
CREATE TABLE daily_close (
    mchid            text PRIMARY KEY,
    close_at          timestamptz NOT NULL,
    lease_until      timestamptz,
    closed_until     timestamptz,
    next_day         date
);
CREATE INDEX daily_close_due ON daily_close (close_at);
INSERT INTO daily_close (mchid, close_at) SELECT mchid, created_at FROM merchant;

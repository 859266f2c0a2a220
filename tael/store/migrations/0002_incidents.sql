-- News that a person has to look at, and money that belongs to nobody's order: proven, booked, sent back once.
-- The same news twice is one row: `digest` is made of what it says.

CREATE TABLE incident (
    mchid            text NOT NULL,
    cause            text NOT NULL,
    kind             text NOT NULL,
    digest           text NOT NULL,
    account_id       text NOT NULL,
    detail           text NOT NULL,
    at               timestamptz NOT NULL,
    amount_minor     bigint,
    currency         text,
    wallet_ref       text NOT NULL,
    payer_ref        text NOT NULL,
    stray            text NOT NULL CHECK (stray IN
        ('NONE', 'SUSPECTED', 'KEPT', 'RETURNING', 'RETURNED', 'REFUSED', 'DISPROVED')),
    stray_syssn      text NOT NULL,
    asked_at         timestamptz,
    wallet_code      text NOT NULL,
    return_ref       text NOT NULL,
    returned_at      timestamptz,
    check_at         timestamptz,
    lease_until      timestamptz,
    checks           integer NOT NULL,
    resolved_at      timestamptz,
    resolution       text NOT NULL,
    version          integer NOT NULL,
    PRIMARY KEY (mchid, cause, kind, digest),
    CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CHECK (stray NOT IN ('KEPT', 'RETURNING', 'RETURNED', 'REFUSED') OR (stray_syssn <> '' AND amount_minor > 0))
) WITH (fillfactor = 80);
-- One trade of a wallet's is booked and sent back at most once, however many kinds of news speak of it.
CREATE UNIQUE INDEX stray_money_once ON incident (mchid, cause, wallet_ref) WHERE stray_syssn <> '';
CREATE INDEX incident_by_stray ON incident (mchid, stray_syssn) WHERE stray_syssn <> '';
CREATE INDEX incident_due ON incident (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX incident_open ON incident (at) WHERE resolved_at IS NULL;

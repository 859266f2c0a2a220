-- News that a person has to look at, and money that belongs to nobody's order: proven, booked, sent back once.
-- The same news twice is one row: `digest` is made of what it says.

CREATE TABLE incident (
    mchid            text NOT NULL,
    subject_id            text NOT NULL,
    kind             text NOT NULL,
    incident_id           text NOT NULL,
    account_id       text NOT NULL,
    detail           text NOT NULL,
    at               timestamptz NOT NULL,
    amount_minor     bigint,
    currency         text,
    wallet_ref       text NOT NULL,
    payer_ref        text NOT NULL,
    unmatched_state            text NOT NULL CHECK (unmatched_state IN
        ('NONE', 'SUSPECTED', 'KEPT', 'RETURNING', 'RETURNED', 'REFUSED', 'REFUTED')),
    unmatched_syssn      text NOT NULL,
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
    PRIMARY KEY (mchid, subject_id, kind, incident_id),
    CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CHECK (unmatched_state NOT IN ('KEPT', 'RETURNING', 'RETURNED', 'REFUSED') OR (unmatched_syssn <> '' AND amount_minor > 0))
) WITH (fillfactor = 80);
-- One trade of a wallet's is booked and sent back at most once, however many kinds of news speak of it.
CREATE UNIQUE INDEX one_booking_per_trade ON incident (mchid, subject_id, wallet_ref) WHERE unmatched_syssn <> '';
CREATE INDEX incident_by_unmatched_syssn ON incident (mchid, unmatched_syssn) WHERE unmatched_syssn <> '';
CREATE INDEX incident_due ON incident (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX incident_open ON incident (at) WHERE resolved_at IS NULL;

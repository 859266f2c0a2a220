-- What every attempt to deliver a webhook came to, and a word for webhooks that nobody tries any more.

ALTER TABLE webhook DROP CONSTRAINT webhook_state_check;
UPDATE webhook SET state = 'EXHAUSTED' WHERE state = 'EXHAUSTED';
ALTER TABLE webhook ADD CONSTRAINT webhook_state_check CHECK (state IN ('DUE', 'DELIVERED', 'EXHAUSTED', 'NOT_WANTED'));
-- Attempts made before an operator sent it again: the schedule counts from there.
ALTER TABLE webhook ADD COLUMN attempts_before integer NOT NULL DEFAULT 0;

-- Due webhooks are claimed app by app, so that a long queue of one app is never walked for another's.
DROP INDEX webhook_due;
CREATE INDEX webhook_due_of_app ON webhook (appcode, deliver_at) WHERE deliver_at IS NOT NULL;
CREATE INDEX webhook_due_of_payment ON webhook (mchid, payment_syssn) WHERE deliver_at IS NOT NULL;
CREATE INDEX webhook_exhausted ON webhook (appcode, created_at) WHERE state = 'EXHAUSTED';

-- An attempt may be made twice under one number, by two workers, if the first one seemed dead.
CREATE TABLE webhook_attempt (
    mchid            text NOT NULL,
    cause            text NOT NULL,
    kind             text NOT NULL,
    attempt          integer NOT NULL,
    started_at       timestamptz NOT NULL,
    took_ms          integer NOT NULL CHECK (took_ms >= 0),
    status           integer,
    result           text NOT NULL,
    answer           bytea NOT NULL CHECK (octet_length(answer) <= 1024),
    PRIMARY KEY (mchid, cause, kind, attempt, started_at)
);

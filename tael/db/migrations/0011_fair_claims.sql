-- Due rows are claimed account by account, so that a long queue of one account is never walked for another's.

ALTER TABLE refund ADD COLUMN account_id text;
UPDATE refund AS r SET account_id = p.account_id
FROM payment AS p WHERE p.mchid = r.mchid AND p.syssn = r.payment_syssn;
ALTER TABLE refund ALTER COLUMN account_id SET NOT NULL;

ALTER TABLE reversal ADD COLUMN account_id text;
UPDATE reversal AS r SET account_id = p.account_id
FROM payment AS p WHERE p.mchid = r.mchid AND p.syssn = r.payment_syssn;
ALTER TABLE reversal ALTER COLUMN account_id SET NOT NULL;

DROP INDEX payment_due;
CREATE INDEX payment_due_of_account ON payment (account_id, check_at) WHERE check_at IS NOT NULL;
DROP INDEX refund_due;
CREATE INDEX refund_due_of_account ON refund (account_id, check_at) WHERE check_at IS NOT NULL;
DROP INDEX reversal_due;
CREATE INDEX reversal_due_of_account ON reversal (account_id, check_at) WHERE check_at IS NOT NULL;
DROP INDEX incident_due;
CREATE INDEX incident_due_of_account ON incident (account_id, check_at) WHERE check_at IS NOT NULL;

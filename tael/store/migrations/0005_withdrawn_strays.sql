-- Stray money that the wallet's record took back after it had been booked: out of the books again, under its number.
-- What the record says instead is an incident of its own, which may be booked and sent back in its turn.

ALTER TABLE incident DROP CONSTRAINT incident_stray_check;
ALTER TABLE incident ADD CONSTRAINT incident_stray_check CHECK (stray IN
    ('NONE', 'SUSPECTED', 'KEPT', 'RETURNING', 'RETURNED', 'REFUSED', 'WITHDRAWN', 'DISPROVED'));
DROP INDEX stray_money_once;
CREATE UNIQUE INDEX stray_money_once ON incident (mchid, cause, wallet_ref)
    WHERE stray_syssn <> '' AND stray <> 'WITHDRAWN';

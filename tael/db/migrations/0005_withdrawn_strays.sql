-- Unmatched payments that the wallet's record took back after it had been booked: out of the books again, under its number.
-- What the record says instead is an incident of its own, which may be booked and sent back in its turn.

ALTER TABLE incident DROP CONSTRAINT incident_unmatched_state_check;
ALTER TABLE incident ADD CONSTRAINT incident_unmatched_state_check CHECK (unmatched_state IN
    ('NONE', 'SUSPECTED', 'KEPT', 'RETURNING', 'RETURNED', 'REFUSED', 'VOIDED', 'REFUTED'));
DROP INDEX one_booking_per_trade;
CREATE UNIQUE INDEX one_booking_per_trade ON incident (mchid, subject_id, wallet_ref)
    WHERE unmatched_syssn <> '' AND unmatched_state <> 'VOIDED';

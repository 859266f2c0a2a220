-- When a payer was first sent to Alipay's page. Until then the wallet knows no such order, and nobody can pay it.

ALTER TABLE payment ADD COLUMN redirected_at timestamptz;
-- Earlier answers held the wallet's own link, so all of these may have been opened.
UPDATE payment SET redirected_at = created_at WHERE pay_type IN ('800151', '800152');

-- What QFPay's answers and links have today: the goods in rows, names that the merchant gave, links with a fixed end.

ALTER TABLE app ADD COLUMN include_goods_name boolean NOT NULL DEFAULT false;

-- Whether the merchant left the payment's name to us. Webhooks and rows show no name that we made.
ALTER TABLE payment ADD COLUMN is_subject_ours boolean NOT NULL DEFAULT false;
UPDATE payment AS p SET is_subject_ours = true
FROM merchant AS m WHERE m.mchid = p.mchid AND p.subject = m.name || ' ' || p.reference;

ALTER TABLE checkout_link ADD COLUMN has_fixed_end boolean NOT NULL DEFAULT false;

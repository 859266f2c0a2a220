-- Orders for which the merchant wants no credit cards: the wallet is told so at every repeat.

ALTER TABLE payment ADD COLUMN bars_credit boolean NOT NULL DEFAULT false;
ALTER TABLE checkout_link ADD COLUMN bars_credit boolean NOT NULL DEFAULT false;

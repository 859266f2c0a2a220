-- Orders for which the merchant wants no credit cards: the wallet is told so at every repeat.

ALTER TABLE payment ADD COLUMN forbid_credit boolean NOT NULL DEFAULT false;
ALTER TABLE checkout_link ADD COLUMN forbid_credit boolean NOT NULL DEFAULT false;

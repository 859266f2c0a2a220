-- Contracts under which a wallet takes refunds of the whole only.

ALTER TABLE wallet_account ADD COLUMN supports_partial_refunds boolean NOT NULL DEFAULT true;

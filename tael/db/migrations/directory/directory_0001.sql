-- The directory: apps, merchants and their wallet accounts. Small, read often, written by operators.

CREATE TABLE app (
    appcode                text CONSTRAINT app_pkey PRIMARY KEY,
    key_encrypted          bytea NOT NULL,
    notify_url             text,
    return_url             text,
    webhook_style          text NOT NULL DEFAULT 'new',
    sha256_only            boolean NOT NULL DEFAULT false,
    notify_offline         boolean NOT NULL DEFAULT false,
    include_currency       boolean NOT NULL DEFAULT true,
    cancel_codes_v2        boolean NOT NULL DEFAULT false,
    include_goods_name     boolean NOT NULL DEFAULT false,
    quick_retries          boolean NOT NULL DEFAULT true,
    close_requires_amount  boolean NOT NULL DEFAULT false,
    max_request_age_s      integer,
    sha256_responses       boolean NOT NULL DEFAULT false,
    allowed_addresses      text[] NOT NULL DEFAULT '{}',
    previous_key_encrypted bytea,
    previous_key_until     timestamptz, -- end of the overlap
    is_disabled            boolean NOT NULL DEFAULT false,
    created_at             timestamptz NOT NULL,
    CONSTRAINT app_webhook_style CHECK (webhook_style IN ('old', 'new')),
    CONSTRAINT app_max_request_age_is_positive CHECK (max_request_age_s > 0),
    CONSTRAINT app_previous_key_has_an_end CHECK ((previous_key_encrypted IS NULL) = (previous_key_until IS NULL))
);

CREATE TABLE merchant (
    mchid                  text CONSTRAINT merchant_pkey PRIMARY KEY,
    appcode                text NOT NULL CONSTRAINT merchant_of_known_app REFERENCES app,
    name                   text NOT NULL,
    currency               text NOT NULL,
    state                  text NOT NULL DEFAULT 'active',
    is_default             boolean NOT NULL DEFAULT false,
    max_amount_minor       bigint,
    denied                 text[] NOT NULL DEFAULT '{}',
    unmatched_payments     text NOT NULL DEFAULT 'hold',
    max_per_second         integer, -- requests; 0 is no limit, and null the deployment's
    max_per_minute         integer,
    created_at             timestamptz NOT NULL,
    CONSTRAINT merchant_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT merchant_state CHECK (state IN ('active', 'disabled', 'waiting')),
    CONSTRAINT merchant_max_amount_is_positive CHECK (max_amount_minor > 0),
    CONSTRAINT merchant_rates_are_not_negative CHECK (max_per_second >= 0 AND max_per_minute >= 0),
    CONSTRAINT merchant_unmatched_payments CHECK (unmatched_payments IN ('hold', 'return')),
    CONSTRAINT merchant_denied CHECK (denied <@ ARRAY['payment', 'refund', 'reversal', 'close'])
);
CREATE INDEX merchant_of_app ON merchant (appcode);
CREATE UNIQUE INDEX merchant_default ON merchant (appcode) WHERE is_default;

CREATE TABLE wallet_account (
    account_id                 text CONSTRAINT wallet_account_pkey PRIMARY KEY,
    mchid                      text NOT NULL CONSTRAINT account_of_known_merchant REFERENCES merchant,
    protocol                   text NOT NULL, -- which channel serves it
    wallet                     text NOT NULL, -- the protocol's
    scene                      text NOT NULL,
    identity                   text NOT NULL, -- its number at the wallet
    currency                   text NOT NULL,
    refund_window_days         integer NOT NULL,
    supports_partial_refunds   boolean NOT NULL,
    fee_rate_ppm               integer NOT NULL,
    credentials_encrypted      bytea NOT NULL, -- what the protocol declares, as one document
    created_at                 timestamptz NOT NULL,
    CONSTRAINT account_scene CHECK (scene IN ('online', 'offline', 'both')),
    CONSTRAINT account_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT account_refund_window_is_positive CHECK (refund_window_days > 0),
    CONSTRAINT account_fee_rate CHECK (fee_rate_ppm BETWEEN 0 AND 1000000),
    CONSTRAINT one_account_per_scene UNIQUE (mchid, wallet, scene),
    CONSTRAINT one_merchant_per_identity UNIQUE (wallet, identity)
);

-- While it has a row, nothing new is begun; what has begun goes on.
CREATE TABLE maintenance_window (
    is_on   boolean CONSTRAINT maintenance_window_pkey PRIMARY KEY,
    reason  text NOT NULL,
    since   timestamptz NOT NULL,
    CONSTRAINT maintenance_window_has_one_row CHECK (is_on)
);

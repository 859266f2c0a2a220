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
    signup_currency        text, -- of merchants that the app signs up; null if it may not
    created_at             timestamptz NOT NULL,
    CONSTRAINT app_webhook_style CHECK (webhook_style IN ('old', 'new')),
    CONSTRAINT app_max_request_age_is_positive CHECK (max_request_age_s > 0),
    CONSTRAINT app_previous_key_has_an_end CHECK ((previous_key_encrypted IS NULL) = (previous_key_until IS NULL)),
    CONSTRAINT app_signup_currency CHECK (signup_currency ~ '^[A-Z]{3}$')
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
    max_daily_minor        bigint, -- the largest sum of its payments in a day; null for no limit
    max_monthly_minor      bigint,
    created_at             timestamptz NOT NULL,
    CONSTRAINT merchant_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT merchant_state CHECK (state IN ('active', 'disabled', 'waiting', 'refused')),
    CONSTRAINT merchant_max_amount_is_positive CHECK (max_amount_minor > 0),
    CONSTRAINT merchant_volumes_are_positive CHECK (max_daily_minor > 0 AND max_monthly_minor > 0),
    CONSTRAINT merchant_rates_are_not_negative CHECK (max_per_second >= 0 AND max_per_minute >= 0),
    CONSTRAINT merchant_unmatched_payments CHECK (unmatched_payments IN ('hold', 'return')),
    CONSTRAINT merchant_denied CHECK (denied <@ ARRAY['payment', 'refund', 'reversal', 'close'])
);
CREATE INDEX merchant_of_app ON merchant (appcode);
CREATE UNIQUE INDEX merchant_default ON merchant (appcode) WHERE is_default;

-- What a merchant sent when it signed up. Two sign-ups of one business at once: the constraints decide.
CREATE TABLE merchant_application (
    mchid                  text CONSTRAINT merchant_application_pkey PRIMARY KEY
                           CONSTRAINT application_of_known_merchant REFERENCES merchant,
    appcode                text NOT NULL, -- the merchant's
    username               text NOT NULL,
    license_number         text NOT NULL,
    application_encrypted  bytea NOT NULL, -- all of it, as one document
    created_at             timestamptz NOT NULL,
    CONSTRAINT one_application_per_username UNIQUE (appcode, username),
    CONSTRAINT one_application_per_license UNIQUE (appcode, license_number)
);

-- The files themselves are encrypted in the folder of documents, below the merchant's id.
CREATE TABLE merchant_document (
    document_id            text CONSTRAINT merchant_document_pkey PRIMARY KEY, -- the name of its file
    mchid                  text NOT NULL CONSTRAINT document_of_known_merchant REFERENCES merchant,
    kind                   text NOT NULL,
    media_type             text NOT NULL,
    size_bytes             bigint NOT NULL,
    sha256                 text NOT NULL, -- of the content, in hex
    created_at             timestamptz NOT NULL,
    CONSTRAINT one_document_per_content UNIQUE (mchid, kind, sha256)
);

-- An operator's decisions about a merchant, numbered from 1.
CREATE TABLE merchant_decision (
    mchid                  text NOT NULL CONSTRAINT decision_of_known_merchant REFERENCES merchant,
    number                 bigint NOT NULL,
    state                  text NOT NULL, -- since then
    reason                 text NOT NULL,
    decided_at             timestamptz NOT NULL,
    CONSTRAINT merchant_decision_pkey PRIMARY KEY (mchid, number)
);
REVOKE UPDATE, DELETE, TRUNCATE ON merchant_decision FROM CURRENT_USER; -- rows are only added

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

-- Who changed what, written in the commit of the change.
CREATE TABLE audit_entry (
    entry_id      bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_entry_pkey PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    address       text NOT NULL, -- of the actor
    action        text NOT NULL, -- a command or a request
    subject_kind  text NOT NULL, -- a table
    subject_id    text NOT NULL, -- the key of its row
    before        jsonb, -- the fields that differ; null for a new row
    after         jsonb -- null for a removed row
);
CREATE INDEX audit_entry_by_time ON audit_entry (at, entry_id);
CREATE INDEX audit_entry_by_subject ON audit_entry (subject_id, at);
REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry FROM CURRENT_USER; -- rows are only added

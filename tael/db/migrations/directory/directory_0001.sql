-- The directory: apps, merchants and their wallet accounts. Small, read often, written by operators.

-- The cells, each a schema with the money of a group of merchants.
CREATE TABLE cell_location (
    cell     integer CONSTRAINT cell_location_pkey PRIMARY KEY,
    servers  text NOT NULL, -- host:port, with commas between several; '' for the servers of the directory
    CONSTRAINT cell_location_cell CHECK (cell BETWEEN 0 AND 99)
);
INSERT INTO cell_location (cell, servers) VALUES (0, '');

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
    include_settlement     boolean NOT NULL DEFAULT false,
    quick_retries          boolean NOT NULL DEFAULT true,
    close_requires_amount  boolean NOT NULL DEFAULT false,
    max_request_age_s      integer,
    sha256_responses       boolean NOT NULL DEFAULT false,
    allowed_addresses      text[] NOT NULL DEFAULT '{}',
    redirect_uris          text[] NOT NULL DEFAULT '{}', -- of OAuth; none if it is off
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
    cell                   integer NOT NULL DEFAULT 0, -- of cell_location, from which no row is deleted
    max_amount_minor       bigint,
    denied                 text[] NOT NULL DEFAULT '{}',
    unmatched_payments     text NOT NULL DEFAULT 'hold',
    max_per_second         integer, -- requests; 0 is no limit, and null the deployment's
    max_per_minute         integer,
    max_daily_minor        bigint, -- the largest sum of its payments in a day; null for no limit
    max_monthly_minor      bigint,
    created_at             timestamptz NOT NULL,
    CONSTRAINT merchant_cell CHECK (cell BETWEEN 0 AND 99),
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
    wallet_fee_rate_ppm        integer, -- the wallet's; null if statements are not checked for it
    credentials_encrypted      bytea NOT NULL, -- what the protocol declares, as one document
    previous_credentials_encrypted  bytea, -- verify the wallet's messages until the end of an overlap
    previous_credentials_until      timestamptz,
    certificate_expires_at     timestamptz, -- the first of its certificates that expires; null without one
    certificate_check_at       timestamptz, -- from 30 days before, once a day
    lease_until                timestamptz, -- of that check
    created_at                 timestamptz NOT NULL,
    CONSTRAINT account_scene CHECK (scene IN ('online', 'offline', 'both')),
    CONSTRAINT account_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT account_refund_window_is_positive CHECK (refund_window_days > 0),
    CONSTRAINT account_fee_rate CHECK (fee_rate_ppm BETWEEN 0 AND 1000000),
    CONSTRAINT account_wallet_fee_rate CHECK (wallet_fee_rate_ppm BETWEEN 0 AND 1000000),
    CONSTRAINT account_previous_credentials_have_an_end CHECK (
        (previous_credentials_encrypted IS NULL) = (previous_credentials_until IS NULL)
    ),
    CONSTRAINT account_certificate_is_checked CHECK (
        (certificate_expires_at IS NULL) = (certificate_check_at IS NULL)
    ),
    CONSTRAINT one_account_per_scene UNIQUE (mchid, wallet, scene),
    CONSTRAINT one_merchant_per_identity UNIQUE (wallet, identity)
);
CREATE INDEX wallet_account_certificate_check ON wallet_account (certificate_check_at);

-- While it has a row, nothing new is begun; what has begun goes on.
CREATE TABLE maintenance_window (
    is_on   boolean CONSTRAINT maintenance_window_pkey PRIMARY KEY,
    reason  text NOT NULL,
    since   timestamptz NOT NULL,
    CONSTRAINT maintenance_window_has_one_row CHECK (is_on)
);

-- Who changed what, written in the commit of the change.
CREATE TABLE audit_entry (
    number        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_entry_pkey PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    address       text NOT NULL, -- of the actor
    action        text NOT NULL, -- a command or a request
    subject_kind  text NOT NULL, -- a table
    subject_id    text NOT NULL, -- the key of its row
    before        jsonb, -- the fields that differ; null for a new row
    after         jsonb -- null for a removed row
);
CREATE INDEX audit_entry_by_time ON audit_entry (at, number);
CREATE INDEX audit_entry_by_subject ON audit_entry (subject_id, at);
REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry FROM CURRENT_USER; -- rows are only added

-- People who sign in for a merchant, to permit apps to read data. The password's hash is argon2id's text.
CREATE TABLE merchant_user (
    userid                 text CONSTRAINT merchant_user_pkey PRIMARY KEY,
    mchid                  text NOT NULL CONSTRAINT user_of_known_merchant REFERENCES merchant,
    username               text NOT NULL,
    nickname               text NOT NULL,
    password_hash          text NOT NULL,
    created_at             timestamptz NOT NULL,
    is_disabled            boolean NOT NULL DEFAULT false,
    CONSTRAINT one_user_per_username UNIQUE (username),
    CONSTRAINT merchant_user_password_hash CHECK (password_hash LIKE '$argon2id$%')
);

-- Signed-in browsers. Sessions, codes and tokens are stored as SHA-256 digests.
CREATE TABLE user_session (
    session_digest         text CONSTRAINT user_session_pkey PRIMARY KEY,
    userid                 text NOT NULL CONSTRAINT session_of_known_user REFERENCES merchant_user,
    created_at             timestamptz NOT NULL,
    expires_at             timestamptz NOT NULL
);
CREATE INDEX session_of_user ON user_session (userid);
CREATE INDEX session_expiry ON user_session (expires_at);

-- What one user has permitted to one app, with the code of that permission. All of its tokens end with it.
CREATE TABLE oauth_grant (
    grant_id               text CONSTRAINT oauth_grant_pkey PRIMARY KEY,
    appcode                text NOT NULL CONSTRAINT grant_of_known_app REFERENCES app,
    userid                 text NOT NULL CONSTRAINT grant_of_known_user REFERENCES merchant_user,
    scopes                 text[] NOT NULL,
    code_digest            text NOT NULL,
    redirect_uri           text NOT NULL,
    code_challenge         text NOT NULL, -- of PKCE, S256; '' without
    created_at             timestamptz NOT NULL,
    code_used_at           timestamptz,
    ended_at               timestamptz,
    CONSTRAINT one_grant_per_code UNIQUE (code_digest)
);
CREATE INDEX grant_of_user ON oauth_grant (userid, appcode, created_at);
CREATE INDEX grant_age ON oauth_grant (created_at);

CREATE TABLE oauth_token (
    access_digest          text CONSTRAINT oauth_token_pkey PRIMARY KEY,
    refresh_digest         text NOT NULL,
    grant_id               text NOT NULL CONSTRAINT token_of_known_grant REFERENCES oauth_grant ON DELETE CASCADE,
    scopes                 text[] NOT NULL,
    access_expires_at      timestamptz NOT NULL,
    refresh_expires_at     timestamptz NOT NULL,
    refreshed_at           timestamptz, -- the refresh token was used
    CONSTRAINT one_token_per_refresh_token UNIQUE (refresh_digest)
);
CREATE INDEX token_of_grant ON oauth_token (grant_id, refresh_expires_at);

-- Attempts to sign in, by the digest of a username or by address, in a window of 15 minutes.
CREATE TABLE sign_in_attempt (
    subject                text CONSTRAINT sign_in_attempt_pkey PRIMARY KEY,
    attempts               bigint NOT NULL,
    ends_at                timestamptz NOT NULL
);
CREATE INDEX attempt_expiry ON sign_in_attempt (ends_at);

-- One row: when expired rows of these tables are removed next.
CREATE TABLE oauth_removal (
    name                   text CONSTRAINT oauth_removal_pkey PRIMARY KEY,
    remove_at              timestamptz NOT NULL,
    lease_until            timestamptz
);

-- Keys that encrypt or have encrypted. A rotation uses no key a second time. The keys themselves are never here.
CREATE TABLE encryption_key (
    encryption_key_id  text CONSTRAINT encryption_key_pkey PRIMARY KEY, -- a digest of the key
    noted_at           timestamptz NOT NULL
);

-- Keys of the tokens in the addresses of payers' pages. Two processes that both need a first one: the index decides.
CREATE TABLE link_key (
    key_id          text CONSTRAINT link_key_pkey PRIMARY KEY, -- a part of each token
    key_encrypted   bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    accepted_until  timestamptz -- null for the current key
);
CREATE UNIQUE INDEX link_key_current ON link_key ((true)) WHERE accepted_until IS NULL;

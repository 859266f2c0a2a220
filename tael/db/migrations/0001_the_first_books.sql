-- Who may call, whose money it is, and every movement of it.
-- In tables of money each primary and unique key begins with mchid, so that merchants can be spread over servers.

CREATE TABLE app (
    appcode          text PRIMARY KEY,
    key_encrypted       bytea NOT NULL,
    notify_url       text,
    return_url       text,
    webhook_style    text NOT NULL DEFAULT 'old' CHECK (webhook_style IN ('old', 'new')),
    sha256_only      boolean NOT NULL DEFAULT false,
    notify_offline    boolean NOT NULL DEFAULT false,
    include_currency   boolean NOT NULL DEFAULT true,
    cancel_codes_v2     boolean NOT NULL DEFAULT false,
    quick_retries    boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL
);

CREATE TABLE merchant (
    mchid            text PRIMARY KEY,
    appcode          text NOT NULL REFERENCES app,
    name             text NOT NULL,
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state            text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'waiting')),
    is_default       boolean NOT NULL DEFAULT false,
    most_minor       bigint CHECK (most_minor > 0),
    created_at       timestamptz NOT NULL
);
CREATE INDEX merchant_of_app ON merchant (appcode);
CREATE UNIQUE INDEX merchant_default ON merchant (appcode) WHERE is_default;

CREATE TABLE wallet_provider (
    mch_id                 text PRIMARY KEY,
    appid                  text NOT NULL,
    key_encrypted             bytea NOT NULL,
    certificate_pem        text NOT NULL,
    certificate_key_encrypted bytea NOT NULL
);

CREATE TABLE wallet_account (
    account_id             text PRIMARY KEY,
    mchid                  text NOT NULL REFERENCES merchant,
    wallet                 text NOT NULL CHECK (wallet IN ('alipay', 'wechat')),
    scene                  text NOT NULL,
    currency               text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    refund_window_days     integer NOT NULL DEFAULT 365 CHECK (refund_window_days > 0),
    sign_type              text NOT NULL,
    -- Alipay: one PID serves one scene.
    pid                    text,
    key_encrypted             bytea,
    private_key_encrypted     bytea,
    alipay_public_key_pem  text,
    supports_close          boolean NOT NULL DEFAULT true,
    next_refund_at         timestamptz,
    -- WeChat: a sub-merchant of a provider serves both scenes.
    mch_id                 text REFERENCES wallet_provider,
    sub_mch_id             text,
    sub_appid              text,
    sub_secret_encrypted      bytea,
    supports_wechat_hk         boolean NOT NULL DEFAULT false,
    created_at             timestamptz NOT NULL,
    CONSTRAINT scene_of_wallet CHECK (
        (wallet = 'alipay' AND scene IN ('online', 'offline') AND pid IS NOT NULL
            AND sign_type IN ('MD5', 'RSA', 'RSA2') AND key_encrypted IS NOT NULL AND private_key_encrypted IS NOT NULL AND alipay_public_key_pem IS NOT NULL
            AND mch_id IS NULL)
        OR (wallet = 'wechat' AND scene = 'both' AND sign_type IN ('MD5', 'HMAC-SHA256')
            AND mch_id IS NOT NULL AND sub_mch_id IS NOT NULL
            AND sub_appid IS NOT NULL AND sub_secret_encrypted IS NOT NULL AND pid IS NULL)
    ),
    CONSTRAINT one_account_per_scene UNIQUE (mchid, wallet, scene),
    CONSTRAINT one_merchant_per_pid UNIQUE (pid),
    CONSTRAINT one_merchant_per_sub_mch_id UNIQUE (mch_id, sub_mch_id)
);

-- Numbers for our own orders are taken in blocks; one row per node, never on the path of a payment.
CREATE TABLE serial (
    node             integer PRIMARY KEY CHECK (node BETWEEN 0 AND 99),
    next_sequence    bigint NOT NULL
);

-- A merchant's number names a payment, and at most one refund: one constraint over both.
CREATE TABLE reference (
    mchid            text NOT NULL,
    reference        text NOT NULL,
    payment_syssn    text,
    refund_syssn     text,
    PRIMARY KEY (mchid, reference)
);

CREATE TABLE payment (
    mchid            text NOT NULL,
    syssn            text NOT NULL,
    appcode          text NOT NULL,
    pay_type         text NOT NULL,
    reference        text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    currency         text NOT NULL,
    account_id       text NOT NULL,
    content          text NOT NULL,
    subject          text NOT NULL,
    openid           text NOT NULL,
    client_time      text NOT NULL,
    device           text NOT NULL,
    notify_merchant   boolean NOT NULL,
    created_at       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    deadline         timestamptz NOT NULL,
    check_at         timestamptz,
    lease_until      timestamptz,
    state            text NOT NULL CHECK (state IN ('PENDING', 'PAID', 'FAILED', 'CLOSED', 'EXPIRED')),
    respcd           text NOT NULL,
    wallet_code      text NOT NULL,
    pay              text,
    has_initial_response      boolean NOT NULL,
    wallet_ref       text NOT NULL,
    payer_ref        text NOT NULL,
    paid_at          timestamptz,
    refunded_minor   bigint NOT NULL DEFAULT 0,
    reserved_minor   bigint NOT NULL DEFAULT 0,
    refund_count     integer NOT NULL DEFAULT 0,
    reversal_syssn   text NOT NULL,
    is_reversed      boolean NOT NULL,
    close_syssn      text NOT NULL,
    checks           integer NOT NULL,
    checked_at       timestamptz,
    version          integer NOT NULL,
    PRIMARY KEY (mchid, syssn),
    CONSTRAINT never_more_back_than_came CHECK (
        refunded_minor >= 0 AND reserved_minor >= 0 AND refund_count >= 0
        AND refunded_minor + reserved_minor <= CASE WHEN state = 'PAID' THEN amount_minor ELSE 0 END
    )
) WITH (fillfactor = 80);
CREATE INDEX payment_newest ON payment (mchid, created_at DESC, syssn DESC);
CREATE INDEX payment_by_reference ON payment (mchid, reference);
CREATE INDEX payment_due ON payment (check_at) WHERE check_at IS NOT NULL;

CREATE TABLE refund (
    mchid            text NOT NULL,
    syssn            text NOT NULL,
    payment_syssn    text NOT NULL,
    reference        text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    currency         text NOT NULL,
    client_time      text NOT NULL,
    device           text NOT NULL,
    created_at       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    check_at         timestamptz,
    lease_until      timestamptz,
    state            text NOT NULL CHECK (state IN ('PROCESSING', 'DONE', 'FAILED')),
    respcd           text NOT NULL,
    wallet_code      text NOT NULL,
    wallet_ref       text NOT NULL,
    done_at          timestamptz,
    checks           integer NOT NULL,
    version          integer NOT NULL,
    PRIMARY KEY (mchid, syssn)
) WITH (fillfactor = 80);
CREATE INDEX refund_newest ON refund (mchid, created_at DESC, syssn DESC);
CREATE INDEX refund_by_reference ON refund (mchid, reference);
CREATE INDEX refund_of_payment ON refund (mchid, payment_syssn);
CREATE INDEX refund_due ON refund (check_at) WHERE check_at IS NOT NULL;

CREATE TABLE reversal (
    mchid            text NOT NULL,
    syssn            text NOT NULL,
    payment_syssn    text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor >= 0),
    client_time      text NOT NULL,
    fails_with       text NOT NULL,
    created_at       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    check_at         timestamptz,
    lease_until      timestamptz,
    state            text NOT NULL CHECK (state IN ('PENDING', 'DONE', 'FAILED')),
    respcd           text NOT NULL,
    wallet_code      text NOT NULL,
    action           text,
    checks           integer NOT NULL,
    version          integer NOT NULL,
    PRIMARY KEY (mchid, syssn)
);
CREATE UNIQUE INDEX one_reversal_of_a_payment ON reversal (mchid, payment_syssn)
    WHERE state = 'PENDING' OR (state = 'DONE' AND fails_with = '');
CREATE INDEX reversal_due ON reversal (check_at) WHERE check_at IS NOT NULL;

CREATE TABLE ledger_entry (
    mchid            text NOT NULL,
    cause            text NOT NULL,
    kind             text NOT NULL,
    debit            text NOT NULL,
    credit           text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    currency         text NOT NULL,
    at               timestamptz NOT NULL,
    PRIMARY KEY (mchid, cause, kind),
    CHECK (debit <> credit)
);

-- What a merchant is to be told. The body is written once, at the first delivery, so repeats are the same bytes.
CREATE TABLE webhook (
    mchid            text NOT NULL,
    cause            text NOT NULL,
    kind             text NOT NULL,
    appcode          text NOT NULL,
    payment_syssn    text NOT NULL,
    created_at       timestamptz NOT NULL,
    deliver_at       timestamptz,
    lease_until      timestamptz,
    style            text,
    body             bytea,
    state            text NOT NULL DEFAULT 'DUE' CHECK (state IN ('DUE', 'DELIVERED', 'EXHAUSTED', 'NOT_WANTED')),
    attempts         integer NOT NULL DEFAULT 0,
    last_result      text NOT NULL DEFAULT '',
    delivered_at     timestamptz,
    PRIMARY KEY (mchid, cause, kind)
) WITH (fillfactor = 80);
CREATE INDEX webhook_due ON webhook (deliver_at) WHERE deliver_at IS NOT NULL;

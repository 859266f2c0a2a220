-- Checkout links that were opened: what the merchant signed, and the order that the payer chose last.

CREATE TABLE checkout_link (
    mchid            text NOT NULL,
    reference        text NOT NULL,
    link_id          text NOT NULL,
    appcode          text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    currency         text NOT NULL,
    subject          text NOT NULL,
    openid           text NOT NULL,
    client_time      text NOT NULL,
    device           text NOT NULL,
    return_url       text NOT NULL,
    failed_url       text NOT NULL,
    cancel_url       text NOT NULL,
    order_s          integer CHECK (order_s > 0),
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    payment_syssn    text NOT NULL DEFAULT '',
    orders           integer NOT NULL DEFAULT 0,
    ended_at         timestamptz,
    PRIMARY KEY (mchid, reference),
    CONSTRAINT one_link_per_id UNIQUE (mchid, link_id)
);

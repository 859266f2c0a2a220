-- What an app may ask for beyond the signature itself. New apps have the new style of webhooks.

ALTER TABLE app
    ALTER COLUMN webhook_style SET DEFAULT 'new',
    ADD COLUMN close_requires_amount boolean NOT NULL DEFAULT false,
    ADD COLUMN max_request_age_s integer
        CONSTRAINT app_max_request_age_is_positive CHECK (max_request_age_s > 0),
    ADD COLUMN sha256_responses boolean NOT NULL DEFAULT false,
    ADD COLUMN allowed_addresses text[] NOT NULL DEFAULT '{}';

-- A cell: the money of a group of merchants. Keys begin with mchid; columns have few defaults, since the code names them all.
--
-- Of two indexes that contain mchid, PostgreSQL may take the wrong one until a table has been analysed: by its defaults a
-- merchant has one row, so the index with fewer pages looks cheaper, and of two like ones the one that was created last. So
-- primary keys are created last, and the other indexes have a predicate that is true for every row: they are taken only for
-- a statement that compares the predicate's column.

-- Which cell this is, in its only row. Statements that insert rows of parameters join it: so Citus sends them to the cell's
-- node whole.
CREATE TABLE cell (
    is_here  boolean CONSTRAINT cell_pkey PRIMARY KEY,
    number   smallint NOT NULL,
    CONSTRAINT cell_has_one_row CHECK (is_here)
);
INSERT INTO cell (is_here, number) VALUES (true, right(current_schema(), 2)::smallint); -- cell_00 is 0

-- Each process takes blocks of numbers of its node.
CREATE TABLE serial (
    node           integer CONSTRAINT serial_pkey PRIMARY KEY,
    next_sequence  bigint NOT NULL,
    CONSTRAINT serial_node CHECK (node BETWEEN 0 AND 99)
);

-- What a merchant's number names: a payment, a refund, or a barcode payment and one refund of it.
CREATE TABLE reference (
    mchid          text NOT NULL,
    reference      text NOT NULL,
    payment_syssn  text,
    refund_syssn   text,
    CONSTRAINT reference_pkey PRIMARY KEY (mchid, reference)
);

CREATE TABLE payment (
    mchid                 text NOT NULL,
    syssn                 text NOT NULL,
    appcode               text NOT NULL,
    pay_type              text NOT NULL,
    reference             text NOT NULL,
    amount_minor          bigint NOT NULL,
    currency              text NOT NULL,
    account_id            text NOT NULL,
    protocol              text NOT NULL, -- the account's: which channel and jobs serve the row
    content               text NOT NULL,
    subject               text NOT NULL,
    is_subject_ours       boolean NOT NULL,
    goods_info            text NOT NULL,
    return_url            text NOT NULL,
    region                text,
    payer_ip              text NOT NULL,
    scene_info            text NOT NULL,
    openid                text NOT NULL,
    client_time           text NOT NULL,
    device                text NOT NULL,
    notify_merchant       boolean NOT NULL,
    forbid_credit         boolean NOT NULL,
    fee_rate_ppm          integer NOT NULL,
    created_at            timestamptz NOT NULL,
    changed_at            timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    deadline              timestamptz NOT NULL,
    check_at              timestamptz,
    lease_until           timestamptz,
    state                 text NOT NULL,
    reason                text, -- of a failed payment
    wallet_code           text NOT NULL,
    pay                   text,
    has_initial_response  boolean NOT NULL,
    wallet_ref            text NOT NULL,
    payer_ref             text NOT NULL,
    paid_at               timestamptz,
    refunded_minor        bigint NOT NULL DEFAULT 0,
    reserved_minor        bigint NOT NULL DEFAULT 0,
    refund_count          integer NOT NULL DEFAULT 0,
    reversal_syssn        text NOT NULL,
    is_reversed           boolean NOT NULL,
    close_syssn           text NOT NULL,
    redirected_at         timestamptz,
    checks                integer NOT NULL,
    checked_at            timestamptz,
    version               integer NOT NULL,
    CONSTRAINT payment_amount_is_positive CHECK (amount_minor > 0),
    CONSTRAINT payment_fee_rate CHECK (fee_rate_ppm BETWEEN 0 AND 1000000),
    CONSTRAINT payment_state CHECK (state IN ('PENDING', 'PAID', 'FAILED', 'CLOSED', 'EXPIRED')),
    CONSTRAINT payment_reason_of_failure CHECK ((state = 'FAILED') = (reason IS NOT NULL)),
    -- The last line of defence: what has gone back and what is reserved never exceeds what came.
    CONSTRAINT never_more_back_than_came CHECK (
        refunded_minor >= 0 AND reserved_minor >= 0 AND refund_count >= 0
        AND refunded_minor + reserved_minor <= CASE WHEN state = 'PAID' THEN amount_minor ELSE 0 END
    )
) WITH (fillfactor = 80);
-- Pages of a list are counted in the index, which needs no rows as long as vacuum keeps up with the newest ones.
ALTER TABLE payment SET (autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_insert_scale_factor = 0.005);
CREATE INDEX payment_newest ON payment (mchid, created_at DESC, syssn DESC) WHERE created_at IS NOT NULL;
ALTER TABLE payment ADD CONSTRAINT payment_pkey PRIMARY KEY (mchid, syssn);
CREATE INDEX payment_by_reference ON payment (reference, mchid) WHERE reference IS NOT NULL;
CREATE INDEX payment_due_of_account ON payment (protocol, account_id, check_at) WHERE check_at IS NOT NULL;

CREATE TABLE refund (
    mchid                  text NOT NULL,
    syssn                  text NOT NULL,
    payment_syssn          text NOT NULL,
    account_id             text NOT NULL,
    protocol               text NOT NULL, -- the account's: which channel and jobs serve the row
    reference              text NOT NULL,
    amount_minor           bigint NOT NULL,
    currency               text NOT NULL,
    client_time            text NOT NULL,
    device                 text NOT NULL,
    created_at             timestamptz NOT NULL,
    changed_at             timestamptz NOT NULL,
    check_at               timestamptz,
    lease_until            timestamptz,
    state                  text NOT NULL,
    reason                 text, -- of a failed refund
    wallet_code            text NOT NULL,
    wallet_ref             text NOT NULL,
    done_at                timestamptz,
    refunded_before_minor  bigint, -- what of its payment had gone back before it; fees are returned by it
    checks                 integer NOT NULL,
    version                integer NOT NULL,
    CONSTRAINT refund_amount_is_positive CHECK (amount_minor > 0),
    CONSTRAINT refund_state CHECK (state IN ('PROCESSING', 'DONE', 'FAILED')),
    CONSTRAINT refund_reason_of_failure CHECK ((state = 'FAILED') = (reason IS NOT NULL)),
    CONSTRAINT refund_refunded_before CHECK (refunded_before_minor >= 0)
) WITH (fillfactor = 80);
ALTER TABLE refund SET (autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_insert_scale_factor = 0.005);
CREATE INDEX refund_newest ON refund (mchid, created_at DESC, syssn DESC) WHERE created_at IS NOT NULL;
ALTER TABLE refund ADD CONSTRAINT refund_pkey PRIMARY KEY (mchid, syssn);
CREATE INDEX refund_by_reference ON refund (reference, mchid) WHERE reference IS NOT NULL;
CREATE INDEX refund_of_payment ON refund (payment_syssn, mchid) WHERE payment_syssn IS NOT NULL;
CREATE INDEX refund_due_of_account ON refund (protocol, account_id, check_at) WHERE check_at IS NOT NULL;

-- When an account may send its next refund, where the wallet requires a gap between two.
CREATE TABLE refund_turn (
    mchid       text NOT NULL,
    account_id  text NOT NULL,
    next_at     timestamptz,
    CONSTRAINT refund_turn_pkey PRIMARY KEY (mchid, account_id)
);

CREATE TABLE reversal (
    mchid          text NOT NULL,
    syssn          text NOT NULL,
    payment_syssn  text NOT NULL,
    account_id     text NOT NULL,
    protocol       text NOT NULL, -- the account's: which channel and jobs serve the row
    amount_minor   bigint NOT NULL, -- what it reserves on the payment: 0 for one that was not paid
    client_time    text NOT NULL,
    fails_with     text, -- the reason of its payment, if the reversal is our own
    created_at     timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    check_at       timestamptz,
    lease_until    timestamptz,
    state          text NOT NULL,
    reason         text, -- of a failed reversal
    wallet_code    text NOT NULL,
    action         text,
    checks         integer NOT NULL,
    version        integer NOT NULL,
    CONSTRAINT reversal_pkey PRIMARY KEY (mchid, syssn),
    CONSTRAINT reversal_amount CHECK (amount_minor >= 0),
    CONSTRAINT reversal_state CHECK (state IN ('PENDING', 'DONE', 'FAILED')),
    CONSTRAINT reversal_reason_of_failure CHECK ((state = 'FAILED') = (reason IS NOT NULL))
);
-- A reversal of our own that is done frees the payment's failed attempt; a merchant's stands for ever.
CREATE UNIQUE INDEX one_reversal_of_a_payment ON reversal (mchid, payment_syssn)
    WHERE state = 'PENDING' OR (state = 'DONE' AND fails_with IS NULL);
CREATE INDEX reversal_of_payment ON reversal (payment_syssn, mchid) WHERE payment_syssn IS NOT NULL;
CREATE INDEX reversal_due_of_account ON reversal (protocol, account_id, check_at) WHERE check_at IS NOT NULL;

-- One movement between two ledger accounts; balanced by construction, never changed.
CREATE TABLE ledger_entry (
    mchid         text NOT NULL,
    cause         text NOT NULL,
    kind          text NOT NULL,
    debit         text NOT NULL,
    credit        text NOT NULL,
    amount_minor  bigint NOT NULL,
    currency      text NOT NULL,
    at            timestamptz NOT NULL,
    CONSTRAINT ledger_entry_amount_is_positive CHECK (amount_minor > 0),
    CONSTRAINT ledger_entry_has_two_accounts CHECK (debit <> credit)
);
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entry FROM CURRENT_USER; -- rows are only added
CREATE INDEX ledger_entry_of_day ON ledger_entry (mchid, at) WHERE at IS NOT NULL;
ALTER TABLE ledger_entry ADD CONSTRAINT ledger_entry_pkey PRIMARY KEY (mchid, cause, kind);

-- The chain of digests over a merchant's ledger, one for each day in UTC+8.
CREATE TABLE ledger_digest (
    mchid      text NOT NULL,
    day        date NOT NULL,
    digest     text NOT NULL,
    previous   text NOT NULL,
    entries    bigint NOT NULL,
    closed_at  timestamptz NOT NULL,
    CONSTRAINT ledger_digest_pkey PRIMARY KEY (mchid, day),
    CONSTRAINT ledger_digest_is_sha256 CHECK (digest ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ledger_digest_entries CHECK (entries >= 0)
);
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_digest FROM CURRENT_USER; -- rows are only added

-- When each merchant's next day is closed. No entry is written before `closed_until`.
CREATE TABLE daily_close (
    mchid         text CONSTRAINT daily_close_pkey PRIMARY KEY,
    close_at      timestamptz NOT NULL,
    lease_until   timestamptz,
    closed_until  timestamptz,
    next_day      date
);
CREATE INDEX daily_close_due ON daily_close (close_at);

-- Written in the commit that it reports. The body is stored at the first attempt and stays.
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
    state            text NOT NULL DEFAULT 'DUE',
    attempts         integer NOT NULL DEFAULT 0,
    attempts_before  integer NOT NULL DEFAULT 0, -- the schedule restarts after a resend
    last_result      text NOT NULL DEFAULT '',
    delivered_at     timestamptz,
    is_purged        boolean NOT NULL DEFAULT false, -- the body was removed for good
    CONSTRAINT webhook_pkey PRIMARY KEY (mchid, cause, kind),
    CONSTRAINT webhook_state CHECK (state IN ('DUE', 'DELIVERED', 'EXHAUSTED', 'NOT_WANTED')),
    CONSTRAINT webhook_purged_is_not_sent CHECK (NOT is_purged OR (body IS NULL AND deliver_at IS NULL))
) WITH (fillfactor = 35, autovacuum_vacuum_scale_factor = 0.02); -- a row triples when its body is stored
CREATE INDEX webhook_due_of_app ON webhook (appcode, deliver_at) WHERE deliver_at IS NOT NULL;
CREATE INDEX webhook_due_refunds ON webhook (mchid, payment_syssn) WHERE deliver_at IS NOT NULL AND kind <> 'payment';
CREATE INDEX webhook_exhausted ON webhook (appcode, created_at) WHERE state = 'EXHAUSTED';

CREATE TABLE webhook_attempt (
    mchid       text NOT NULL,
    cause       text NOT NULL,
    kind        text NOT NULL,
    attempt     integer NOT NULL,
    started_at  timestamptz NOT NULL,
    took_ms     integer NOT NULL,
    status      integer,
    result      text NOT NULL,
    answer      bytea NOT NULL,
    CONSTRAINT webhook_attempt_pkey PRIMARY KEY (mchid, cause, kind, attempt, started_at),
    CONSTRAINT webhook_attempt_took CHECK (took_ms >= 0),
    CONSTRAINT webhook_attempt_answer_is_short CHECK (octet_length(answer) <= 1024)
);
REVOKE UPDATE, DELETE, TRUNCATE ON webhook_attempt FROM CURRENT_USER; -- rows are only added
GRANT UPDATE (answer) ON webhook_attempt TO CURRENT_USER; -- which is blanked

-- Money that no order explains. The wallet's report of it is written first; the columns with defaults are its progress.
CREATE TABLE unmatched_payment (
    mchid         text NOT NULL,
    unmatched_id  text NOT NULL,
    subject_id    text NOT NULL, -- the order at the wallet
    kind          text NOT NULL,
    account_id    text NOT NULL,
    protocol      text NOT NULL, -- the account's: which channel and jobs serve the row
    at            timestamptz NOT NULL,
    amount_minor  bigint,
    currency      text,
    wallet_ref    text NOT NULL,
    payer_ref     text NOT NULL,
    check_at      timestamptz,
    lease_until   timestamptz,
    state         text NOT NULL DEFAULT 'SUSPECTED',
    syssn         text NOT NULL DEFAULT '', -- given when it is booked
    booked_at     timestamptz,
    asked_at      timestamptz,
    wallet_code   text NOT NULL DEFAULT '',
    return_ref    text NOT NULL DEFAULT '',
    returned_at   timestamptz,
    remind_at     timestamptz,
    reason        text NOT NULL DEFAULT '',
    note          text NOT NULL DEFAULT '',
    checks        integer NOT NULL DEFAULT 0,
    version       integer NOT NULL DEFAULT 1,
    CONSTRAINT unmatched_payment_pkey PRIMARY KEY (mchid, unmatched_id),
    CONSTRAINT unmatched_payment_amount_has_currency CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CONSTRAINT unmatched_payment_state CHECK (state IN
        ('SUSPECTED', 'HELD', 'APPROVED', 'RETURNING', 'RETURNED', 'KEPT', 'REFUSED', 'VOIDED', 'REFUTED')),
    CONSTRAINT unmatched_payment_booking_has_number CHECK (
        state IN ('SUSPECTED', 'REFUTED') OR (syssn <> '' AND amount_minor > 0 AND booked_at IS NOT NULL)),
    CONSTRAINT unmatched_payment_kept_with_a_note CHECK (state <> 'KEPT' OR note <> ''),
    CONSTRAINT unmatched_payment_note_is_short CHECK (char_length(note) <= 500),
    CONSTRAINT unmatched_payment_held_has_reminder CHECK (state <> 'HELD' OR remind_at IS NOT NULL)
) WITH (fillfactor = 80);
-- One trade of a wallet's is booked and returned at most once, however many kinds of events report it.
CREATE UNIQUE INDEX one_booking_per_trade ON unmatched_payment (mchid, subject_id, wallet_ref)
    WHERE syssn <> '' AND state <> 'VOIDED';
CREATE INDEX unmatched_payment_of_subject ON unmatched_payment (subject_id, mchid) WHERE subject_id IS NOT NULL;
CREATE INDEX unmatched_payment_by_syssn ON unmatched_payment (syssn, mchid) WHERE syssn <> '';
CREATE INDEX unmatched_payment_due_of_account ON unmatched_payment (protocol, account_id, check_at)
    WHERE check_at IS NOT NULL;
CREATE INDEX unmatched_payment_open ON unmatched_payment (at)
    WHERE state IN ('SUSPECTED', 'HELD', 'APPROVED', 'RETURNING', 'REFUSED');

-- A file of a wallet about one account, kind and day, as it arrived. One that was replaced is kept.
CREATE TABLE statement (
    mchid            text NOT NULL,
    statement_id     text NOT NULL,
    account_id       text NOT NULL,
    protocol         text NOT NULL,
    kind             text NOT NULL,
    day              date NOT NULL, -- in UTC+8
    sha256           text NOT NULL, -- of the decompressed content
    size             bigint NOT NULL, -- of the decompressed content
    source           text NOT NULL,
    lines            bigint NOT NULL,
    unknown_columns  integer NOT NULL,
    totals           jsonb NOT NULL, -- by currency
    stored_at        timestamptz NOT NULL,
    superseded_at    timestamptz,
    packed           bytea NOT NULL, -- gzip; empty once it is purged
    is_packed        boolean NOT NULL, -- whether it arrived so
    check_at         timestamptz, -- when it is reconciled next
    lease_until      timestamptz,
    CONSTRAINT statement_pkey PRIMARY KEY (mchid, statement_id),
    CONSTRAINT one_statement_per_content UNIQUE (mchid, account_id, kind, day, sha256),
    CONSTRAINT statement_kind CHECK (kind IN ('transactions', 'settlement')),
    CONSTRAINT statement_is_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT statement_size CHECK (size > 0 AND lines >= 0)
);
CREATE UNIQUE INDEX one_current_statement ON statement (mchid, account_id, kind, day) WHERE superseded_at IS NULL;
CREATE INDEX statement_by_day ON statement (day, account_id);
CREATE INDEX statement_by_id ON statement (statement_id);
CREATE INDEX statement_due_of_reconciliation ON statement (protocol, account_id, check_at)
    WHERE check_at IS NOT NULL;

-- One movement of money at the wallet. Amounts are not negative: the type is the direction.
CREATE TABLE statement_line (
    mchid                text NOT NULL,
    statement_id         text NOT NULL,
    number               bigint NOT NULL, -- of the line in the file
    type                 text NOT NULL,
    syssn                text NOT NULL, -- of the order, or of the refund
    payment_syssn        text NOT NULL,
    wallet_ref           text NOT NULL,
    wallet_refund_ref    text NOT NULL,
    at                   timestamptz NOT NULL,
    amount_minor         bigint NOT NULL,
    currency             text NOT NULL,
    fee_micros           bigint NOT NULL, -- in millionths of the major unit
    settlement_minor     bigint,
    settlement_currency  text,
    rate_e8              bigint, -- the exchange rate times 10^8
    settled_at           timestamptz,
    state                text NOT NULL,
    identity             text NOT NULL, -- the account's number in the line
    CONSTRAINT statement_line_pkey PRIMARY KEY (mchid, statement_id, number),
    CONSTRAINT statement_line_type CHECK (type IN ('payment', 'refund', 'reversal')),
    CONSTRAINT statement_line_amounts CHECK (amount_minor >= 0 AND fee_micros >= 0 AND settlement_minor >= 0),
    CONSTRAINT statement_line_settlement CHECK ((settlement_minor IS NULL) = (settlement_currency IS NULL))
);
REVOKE UPDATE, DELETE, TRUNCATE ON statement_line FROM CURRENT_USER; -- rows are only added
CREATE INDEX statement_line_by_syssn ON statement_line (mchid, syssn);

-- The newest run of a statement against our records.
CREATE TABLE reconciliation (
    mchid              text NOT NULL,
    statement_id       text NOT NULL,
    reconciliation_id  text NOT NULL,
    account_id         text NOT NULL,
    kind               text NOT NULL, -- the statement's
    day                date NOT NULL, -- in UTC+8
    lines              bigint NOT NULL,
    matched            bigint NOT NULL,
    theirs             jsonb NOT NULL, -- sums by currency
    ours               jsonb NOT NULL,
    differences        jsonb NOT NULL, -- how many are open, by kind
    run_at             timestamptz NOT NULL,
    CONSTRAINT reconciliation_pkey PRIMARY KEY (mchid, statement_id),
    CONSTRAINT reconciliation_matched CHECK (matched BETWEEN 0 AND lines)
);

-- Where a statement and our records disagree: one row, however often and in however many files it is found.
CREATE TABLE difference (
    mchid              text NOT NULL,
    difference_id      text NOT NULL, -- a digest of the columns of one_difference
    account_id         text NOT NULL,
    kind               text NOT NULL,
    type               text NOT NULL, -- of the movement
    number             text NOT NULL, -- of the order, or of the refund
    wallet_ref         text NOT NULL, -- the wallet's number of the trade
    statement_id       text NOT NULL, -- in which it is
    statement_kind     text NOT NULL,
    day                date NOT NULL, -- of that statement, in UTC+8
    reconciliation_id  text NOT NULL, -- the run that found it last
    detail             text NOT NULL,
    theirs             jsonb, -- the wallet's line; null if there is none
    ours               jsonb, -- our row; null if there is none
    found_at           timestamptz NOT NULL,
    queried_at         timestamptz, -- when the wallet was queried about it
    owner              text NOT NULL,
    state              text NOT NULL,
    resolved_at        timestamptz,
    resolved_by        text NOT NULL,
    resolution         text NOT NULL,
    CONSTRAINT difference_pkey PRIMARY KEY (mchid, difference_id),
    CONSTRAINT one_difference UNIQUE (mchid, account_id, kind, type, number, wallet_ref),
    CONSTRAINT difference_kind CHECK (kind IN
        ('missing_here', 'missing_there', 'amount', 'fee', 'state', 'duplicate', 'wrong_day')),
    CONSTRAINT difference_type CHECK (type IN ('payment', 'refund', 'reversal')),
    CONSTRAINT difference_state CHECK (state IN ('OPEN', 'RESOLVED')),
    CONSTRAINT difference_resolution CHECK (
        (state = 'RESOLVED') = (resolved_at IS NOT NULL) AND (state = 'RESOLVED') = (resolved_by <> '')
        AND (state = 'RESOLVED') = (resolution <> '')),
    CONSTRAINT difference_texts_are_short CHECK (char_length(owner) <= 100 AND char_length(resolution) <= 500)
);
CREATE INDEX difference_by_id ON difference (difference_id);
CREATE INDEX difference_newest ON difference (found_at);
CREATE INDEX difference_open ON difference (mchid, account_id, day) WHERE state = 'OPEN';
CREATE INDEX difference_of_statement ON difference (mchid, statement_id) WHERE state = 'OPEN';

-- What a wallet paid out to an account's bank in one batch and currency, by a statement of settlements.
CREATE TABLE remittance (
    mchid           text NOT NULL,
    remittance_id   text NOT NULL,
    statement_id    text NOT NULL,
    account_id      text NOT NULL,
    protocol        text NOT NULL,
    batch_no        text NOT NULL, -- the wallet's; the day of settlement if it has none
    settled_on      date NOT NULL, -- in UTC+8
    trades_from     date NOT NULL, -- the days of its trades, in UTC+8
    trades_to       date NOT NULL,
    currency        text NOT NULL,
    paid_minor      bigint NOT NULL,
    refunded_minor  bigint NOT NULL,
    fee_minor       bigint NOT NULL, -- charged less returned
    net_minor       bigint NOT NULL,
    superseded_at   timestamptz, -- with its statement
    CONSTRAINT remittance_pkey PRIMARY KEY (mchid, remittance_id),
    CONSTRAINT remittance_net CHECK (net_minor = paid_minor - refunded_minor - fee_minor),
    CONSTRAINT remittance_sums CHECK (paid_minor >= 0 AND refunded_minor >= 0),
    CONSTRAINT remittance_days CHECK (trades_from <= trades_to)
);
CREATE UNIQUE INDEX one_current_remittance ON remittance (mchid, account_id, batch_no, currency)
    WHERE superseded_at IS NULL;
CREATE INDEX remittance_of_statement ON remittance (mchid, statement_id);
CREATE INDEX remittance_by_day ON remittance (mchid, settled_on);

-- What a wallet converted on a day from the currency of prices to that of settlement, by a statement of transactions.
-- Amounts are what was paid less what was returned.
CREATE TABLE conversion (
    mchid                text NOT NULL,
    conversion_id        text NOT NULL,
    statement_id         text NOT NULL,
    account_id           text NOT NULL,
    price_currency       text NOT NULL,
    price_minor          bigint NOT NULL,
    settlement_currency  text NOT NULL,
    settlement_minor     bigint NOT NULL,
    superseded_at        timestamptz, -- with its statement
    CONSTRAINT conversion_pkey PRIMARY KEY (mchid, conversion_id),
    CONSTRAINT conversion_currencies CHECK (price_currency <> settlement_currency)
);
CREATE UNIQUE INDEX one_current_conversion ON conversion (mchid, statement_id, price_currency, settlement_currency)
    WHERE superseded_at IS NULL;
CREATE INDEX conversion_of_statement ON conversion (mchid, statement_id);
-- When and how much a merchant is paid, by currency. Its row is locked while a payout is made.
CREATE TABLE payout_terms (
    mchid          text NOT NULL,
    currency       text NOT NULL,
    cycle          text NOT NULL,
    weekday        text, -- the last day of a week
    minimum_minor  bigint NOT NULL,
    reserve_ppm    integer NOT NULL,
    reserve_days   integer NOT NULL,
    since          date NOT NULL, -- in UTC+8: the first day of the first payout
    CONSTRAINT payout_terms_pkey PRIMARY KEY (mchid, currency),
    CONSTRAINT payout_terms_cycle CHECK (cycle IN ('daily', 'weekly', 'monthly')),
    CONSTRAINT payout_terms_weekday CHECK ((cycle = 'weekly') = (weekday IS NOT NULL)),
    CONSTRAINT payout_terms_amounts CHECK (minimum_minor >= 0 AND reserve_ppm BETWEEN 0 AND 1000000),
    CONSTRAINT payout_terms_days CHECK (reserve_days BETWEEN 0 AND 730 AND since >= DATE '2000-01-01')
);

-- A batch of a merchant's ledger account over whole closed days. Its sums never change; only its state does.
CREATE TABLE payout (
    mchid                   text NOT NULL,
    payout_id               text NOT NULL,
    currency                text NOT NULL,
    number                  bigint NOT NULL, -- 1, 2, 3 ... of the merchant and currency
    first_day               date NOT NULL, -- in UTC+8; the day after the last one of the payout before
    last_day                date NOT NULL,
    cycle                   text NOT NULL, -- the terms that were followed
    weekday                 text,
    minimum_minor           bigint NOT NULL,
    reserve_ppm             integer NOT NULL,
    reserve_days            integer NOT NULL,
    opening_minor           bigint NOT NULL, -- carried over from the payout before
    payments                bigint NOT NULL,
    paid_minor              bigint NOT NULL,
    refunds                 bigint NOT NULL,
    refunded_minor          bigint NOT NULL,
    reversals               bigint NOT NULL,
    reversed_minor          bigint NOT NULL,
    fee_minor               bigint NOT NULL,
    fee_back_minor          bigint NOT NULL,
    adjusted_in_minor       bigint NOT NULL, -- by entries of any other kind
    adjusted_out_minor      bigint NOT NULL,
    reserve_released_minor  bigint NOT NULL, -- of earlier payouts
    reserve_held_minor      bigint NOT NULL,
    amount_minor            bigint NOT NULL,
    carried_minor           bigint NOT NULL,
    state                   text NOT NULL,
    created_at              timestamptz NOT NULL,
    paid_at                 timestamptz,
    bank_reference          text NOT NULL,
    CONSTRAINT payout_pkey PRIMARY KEY (mchid, payout_id),
    -- Each payout takes the next number and begins after the one before: two runs at once cannot both write it.
    CONSTRAINT one_payout_per_number UNIQUE (mchid, currency, number),
    CONSTRAINT one_payout_per_first_day UNIQUE (mchid, currency, first_day),
    CONSTRAINT payout_number CHECK (number > 0),
    CONSTRAINT payout_days CHECK (DATE '2000-01-01' <= first_day AND first_day <= last_day AND last_day < DATE '9999-01-01'),
    CONSTRAINT payout_sums CHECK (
        paid_minor >= 0 AND refunded_minor >= 0 AND reversed_minor >= 0 AND fee_minor >= 0 AND fee_back_minor >= 0
        AND adjusted_in_minor >= 0 AND adjusted_out_minor >= 0 AND reserve_released_minor >= 0
        AND reserve_held_minor >= 0 AND amount_minor >= 0
    ),
    CONSTRAINT payout_adds_up CHECK (
        amount_minor + carried_minor = opening_minor + paid_minor - refunded_minor - reversed_minor - fee_minor
            + fee_back_minor + adjusted_in_minor - adjusted_out_minor + reserve_released_minor - reserve_held_minor
    ),
    CONSTRAINT payout_pays_or_carries CHECK (amount_minor = 0 OR carried_minor = 0),
    CONSTRAINT payout_state CHECK (state IN ('CREATED', 'PAID', 'CARRIED') AND (state = 'CARRIED') = (amount_minor = 0)),
    CONSTRAINT payout_paid_with_reference CHECK (
        (state = 'PAID') = (paid_at IS NOT NULL) AND (state = 'PAID') = (bank_reference <> '')
    ),
    CONSTRAINT payout_reference_is_short CHECK (char_length(bank_reference) <= 500)
);
CREATE INDEX payout_by_id ON payout (payout_id);
CREATE INDEX payout_by_day ON payout (last_day, mchid, currency);

-- Statements that are to be fetched. A row is removed once its statement is stored; the first attempt adds the next day's.
CREATE TABLE statement_due (
    mchid        text NOT NULL,
    account_id   text NOT NULL,
    kind         text NOT NULL,
    day          date NOT NULL, -- in UTC+8
    protocol     text NOT NULL, -- the account's: which channel and jobs serve the row
    check_at     timestamptz NOT NULL,
    lease_until  timestamptz,
    attempts     integer NOT NULL,
    CONSTRAINT statement_due_pkey PRIMARY KEY (mchid, account_id, kind, day),
    CONSTRAINT statement_due_kind CHECK (kind IN ('transactions', 'settlement')),
    CONSTRAINT statement_due_attempts CHECK (attempts >= 0)
);
CREATE INDEX statement_due_of_account ON statement_due (protocol, account_id, check_at);

-- What needs manual review. The same event twice is one row.
CREATE TABLE incident (
    mchid         text NOT NULL,
    subject_id    text NOT NULL,
    kind          text NOT NULL,
    incident_id   text NOT NULL,
    account_id    text NOT NULL,
    detail        text NOT NULL,
    at            timestamptz NOT NULL,
    unmatched_id  text NOT NULL, -- of the unmatched payment that it is about, if any
    resolved_at   timestamptz,
    resolution    text NOT NULL,
    CONSTRAINT incident_pkey PRIMARY KEY (mchid, subject_id, kind, incident_id)
);
CREATE INDEX incident_open ON incident (at) WHERE resolved_at IS NULL;
CREATE INDEX incident_of_unmatched_payment ON incident (mchid, unmatched_id) WHERE unmatched_id <> '';

CREATE TABLE checkout_link (
    mchid          text NOT NULL,
    reference      text NOT NULL,
    link_id        text NOT NULL,
    appcode        text NOT NULL,
    amount_minor   bigint NOT NULL,
    currency       text NOT NULL,
    subject        text NOT NULL,
    openid         text NOT NULL,
    client_time    text NOT NULL,
    device         text NOT NULL,
    return_url     text NOT NULL,
    failed_url     text NOT NULL,
    cancel_url     text NOT NULL,
    order_s        integer,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    payment_syssn  text NOT NULL DEFAULT '', -- the newest order under this link
    orders         integer NOT NULL DEFAULT 0,
    ended_at       timestamptz,
    forbid_credit  boolean NOT NULL DEFAULT false,
    has_fixed_end  boolean NOT NULL DEFAULT false,
    CONSTRAINT checkout_link_pkey PRIMARY KEY (mchid, reference),
    CONSTRAINT one_link_per_id UNIQUE (mchid, link_id),
    CONSTRAINT checkout_link_amount_is_positive CHECK (amount_minor > 0),
    CONSTRAINT checkout_link_order_is_positive CHECK (order_s > 0)
);

-- Readiness is measured by writing.
CREATE TABLE readiness (
    is_only  boolean DEFAULT true CONSTRAINT readiness_pkey PRIMARY KEY,
    probes   bigint NOT NULL,
    CONSTRAINT readiness_has_one_row CHECK (is_only)
);

-- How much of a merchant's limit of requests was granted to processes, in the newest window of each length. Not logged:
-- after a crash, windows begin anew.
CREATE TABLE rate_limit (
    mchid         text NOT NULL,
    window_s      integer NOT NULL,
    number        bigint NOT NULL, -- of the window, counted from 1970
    granted       bigint NOT NULL,
    last_granted  bigint NOT NULL,
    grantable     bigint NOT NULL,
    CONSTRAINT rate_limit_pkey PRIMARY KEY (mchid, window_s)
) WITH (fillfactor = 50);
ALTER TABLE rate_limit SET UNLOGGED;

-- What the limits did, for the metrics.
CREATE TABLE rate_limit_total (
    result    text CONSTRAINT rate_limit_total_pkey PRIMARY KEY,
    requests  bigint NOT NULL
);
ALTER TABLE rate_limit_total SET UNLOGGED;

-- Operators' decisions about this money, as `audit_entry` has them about apps, merchants and accounts.
CREATE TABLE cell_audit_entry (
    number        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT cell_audit_entry_pkey PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text NOT NULL,
    address       text NOT NULL, -- of the actor
    action        text NOT NULL, -- a command or a request
    subject_kind  text NOT NULL, -- a table
    subject_id    text NOT NULL, -- the key of its row
    before        jsonb, -- the fields that differ; null for a new row
    after         jsonb -- null for a removed row
);
CREATE INDEX cell_audit_entry_by_time ON cell_audit_entry (at, number);
CREATE INDEX cell_audit_entry_by_subject ON cell_audit_entry (subject_id, at);
REVOKE UPDATE, DELETE, TRUNCATE ON cell_audit_entry FROM CURRENT_USER; -- rows are only added

-- Vacuum pauses for 10 ms after a few pages, and a table is analysed when it has doubled, since no statement of a request
-- needs statistics: on a machine with few processors, payments would wait for both.
DO $$
DECLARE growing text;
BEGIN
    FOREACH growing IN ARRAY ARRAY[
        'reference', 'payment', 'refund', 'reversal', 'ledger_entry', 'webhook', 'webhook_attempt', 'checkout_link',
        'unmatched_payment', 'incident'
    ] LOOP
        EXECUTE format(
            'ALTER TABLE %I SET (autovacuum_vacuum_cost_delay = 10, autovacuum_vacuum_cost_limit = 400, '
            'autovacuum_analyze_scale_factor = 1)',
            growing
        );
    END LOOP;
END $$;

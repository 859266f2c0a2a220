"""Which columns hold personal data, and how long. Pure: every column of every table is declared here, once.

`tael purge` blanks what is BLANKED, and removes rows whose personal data is REMOVED. Money, states, numbers and digests
are OTHER: they stay, so that the ledger can be verified. A test compares the declaration with the migrated schema.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class End(StrEnum):
    """What becomes of personal data."""

    BLANKED = "blanked by `tael purge`"
    REMOVED = "removed by `tael purge`"
    EXPIRES = "removed by `tael work` when it has expired"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Personal:
    """A column with personal data: what it is, why it is stored, and its end."""

    what: str
    why: str
    end: End = End.BLANKED
    blank: str | bytes | None = ""  #: what replaces it if it is blanked


@dataclass(frozen=True, slots=True)
class TableData:
    """The columns of one table. `other` are those without personal data."""

    personal: Mapping[str, Personal]
    other: str

    @property
    def columns(self) -> Iterator[str]:
        yield from self.personal
        yield from self.other.split()

    def blanks(self) -> dict[str, str | bytes | None]:
        """The columns that are blanked, each with what replaces its value."""
        return {name: data.blank for name, data in self.personal.items() if data.end is End.BLANKED}


def _kept(what: str, why: str) -> Personal:
    return Personal(what, why, End.KEPT)


def _expires(what: str, why: str) -> Personal:
    return Personal(what, why, End.EXPIRES)


_OPENID: Final = Personal("the payer's id at the merchant's official account", "the wallet asks for it")
_DEVICE: Final = Personal("the number of the device that the merchant gave", "webhooks and exports show it")
_SUBJECT: Final = Personal("what was bought, in the merchant's words", "the wallet shows it to the payer")
_PAYER_REF: Final = Personal("the payer's id at the wallet", "queries and webhooks have it as `cardcd`")
_PAYERS_PAGE: Final = Personal(
    "a page of the merchant's, which may name the payer", "the payer returns there"
)
_AUDIT: Final = {
    "actor": _kept("who changed something", "changes of settings and decisions about money stay provable"),
    "address": _kept("from where", "the same"),
    "before": _kept("names and notes that an operator or a merchant entered", "the same"),
    "after": _kept("names and notes that an operator or a merchant entered", "the same"),
}
_AUDIT_OTHER: Final = "number at action subject_kind subject_id"
_NOTE: Final = "an operator's note"
_DECISION: Final = "the reason of a decision about money"

#: The tables in the order in which they are purged: what belongs to a payment, after it.
PERSONAL_DATA: Final[Mapping[str, TableData]] = {
    "payment": TableData(
        {
            "subject": _SUBJECT,
            "goods_info": Personal("the goods, in the merchant's words", "support"),
            "return_url": _PAYERS_PAGE,
            "payer_ip": Personal("the payer's address", "the wallet compares it"),
            "scene_info": Personal(
                "the merchant's site, or its app on the payer's phone", "the wallet asks for it"
            ),
            "openid": _OPENID,
            "device": _DEVICE,
            "pay": Personal(
                "what the payer opened or scanned, which contains the subject",
                "the same for each browser",
                blank=None,
            ),
            "payer_ref": _PAYER_REF,
            "content": _kept(
                "a digest of what was requested, with the openid", "a repeated request is recognised"
            ),
        },
        "mchid syssn appcode pay_type reference amount_minor currency account_id protocol is_subject_ours "
        "region client_time notify_merchant forbid_credit fee_rate_ppm created_at changed_at expires_at deadline "
        "check_at lease_until state reason wallet_code has_initial_response wallet_ref paid_at refunded_minor "
        "reserved_minor refund_count reversal_syssn is_reversed close_syssn redirected_at checks checked_at version",
    ),
    "refund": TableData(
        {"device": _DEVICE},
        "mchid syssn payment_syssn account_id protocol reference amount_minor currency client_time created_at "
        "changed_at check_at lease_until state reason wallet_code wallet_ref done_at refunded_before_minor checks "
        "version",
    ),
    "checkout_link": TableData(
        {
            "subject": _SUBJECT,
            "openid": _OPENID,
            "device": _DEVICE,
            "return_url": _PAYERS_PAGE,
            "failed_url": _PAYERS_PAGE,
            "cancel_url": _PAYERS_PAGE,
        },
        "mchid reference link_id appcode amount_minor currency client_time order_s created_at expires_at "
        "payment_syssn orders ended_at forbid_credit has_fixed_end",
    ),
    "webhook": TableData(
        {
            "body": Personal(
                "what the merchant was sent, with `cardcd` and the goods' name",
                "each retry sends the same bytes",
                blank=None,
            )
        },
        "mchid cause kind appcode payment_syssn created_at deliver_at lease_until style state attempts "
        "attempts_before last_result delivered_at is_purged",
    ),
    "webhook_attempt": TableData(
        {
            "answer": Personal(
                "the receiver's response, at most 1 KB", "errors of receivers are found", blank=b""
            )
        },
        "mchid cause kind attempt started_at took_ms status result",
    ),
    "unmatched_payment": TableData(
        {"payer_ref": _PAYER_REF, "note": _kept(_NOTE, _DECISION)},
        "mchid unmatched_id subject_id kind account_id protocol at amount_minor currency wallet_ref check_at "
        "lease_until state syssn booked_at asked_at wallet_code return_ref returned_at remind_at reason checks version",
    ),
    "statement": TableData(
        {
            "packed": Personal(
                "the wallet's file, with payers' ids and goods' names; its lines stay without them",
                "the original proves what the wallet reported",
                blank=b"",
            )
        },
        "mchid statement_id account_id protocol kind day sha256 size source lines unknown_columns totals stored_at "
        "superseded_at is_packed check_at lease_until",
    ),
    "merchant_application": TableData(
        {
            "username": Personal(
                "the applicant's name for signing in", "one application per username", End.REMOVED
            ),
            "license_number": Personal(
                "the business's registration", "one application per business", End.REMOVED
            ),
            "application_encrypted": Personal(
                "the applicant's names, addresses and bank account", "the decision about it", End.REMOVED
            ),
        },
        "mchid appcode created_at",
    ),
    "merchant_document": TableData(
        {
            name: Personal(what, "the decision about the application", End.REMOVED)
            for name, what in (
                ("document_id", "the name of the file, which is removed as well"),
                ("sha256", "the file's digest"),
            )
        },
        "mchid kind media_type size_bytes created_at",
    ),
    "merchant_decision": TableData(
        {"reason": _kept(_NOTE, "why a merchant was refused")}, "mchid number state decided_at"
    ),
    "merchant": TableData(
        {"name": _kept("the business's name, which may be a person's", "statements and payouts name it")},
        "mchid appcode currency state is_default cell max_amount_minor denied unmatched_payments max_per_second "
        "max_per_minute max_daily_minor max_monthly_minor created_at",
    ),
    "merchant_user": TableData(
        {
            name: _kept(what, "the user can sign in, and what it permitted has an owner")
            for name, what in (
                ("username", "the user's name for signing in"),
                ("nickname", "the user's name"),
                ("password_hash", "its password as argon2id's hash"),
            )
        },
        "userid mchid created_at is_disabled",
    ),
    "user_session": TableData(
        {"userid": _expires("who is signed in", "a browser stays signed in")},
        "session_digest created_at expires_at",
    ),
    "oauth_grant": TableData(
        {"userid": _expires("who permitted it", "an app may read what the user permitted")},
        "grant_id appcode scopes code_digest redirect_uri code_challenge created_at code_used_at ended_at",
    ),
    "sign_in_attempt": TableData(
        {"subject": _expires("the digest of a username, or an address", "limits of attempts")},
        "attempts ends_at",
    ),
    "difference": TableData(
        {
            "owner": _kept("the operator who works on it", _DECISION),
            "resolved_by": _kept("the operator who resolved it", _DECISION),
            "resolution": _kept(_NOTE, _DECISION),
        },
        "mchid difference_id account_id kind type number wallet_ref statement_id statement_kind day reconciliation_id "
        "detail theirs ours found_at queried_at state resolved_at",
    ),
    "incident": TableData(
        {"resolution": _kept(_NOTE, _DECISION)},
        "mchid subject_id kind incident_id account_id detail at unmatched_id resolved_at",
    ),
    "cell_audit_entry": TableData(_AUDIT, _AUDIT_OTHER),
    "audit_entry": TableData(_AUDIT, _AUDIT_OTHER),
    "maintenance_window": TableData({}, "is_on reason since"),
    "cell_location": TableData({}, "cell servers"),
    "cell": TableData({}, "is_here number"),
    "serial": TableData({}, "node next_sequence"),
    "reference": TableData({}, "mchid reference payment_syssn refund_syssn"),
    "refund_turn": TableData({}, "mchid account_id next_at"),
    "reversal": TableData(
        {},
        "mchid syssn payment_syssn account_id protocol amount_minor client_time fails_with created_at changed_at "
        "check_at lease_until state reason wallet_code action checks version",
    ),
    "ledger_entry": TableData({}, "mchid cause kind debit credit amount_minor currency at"),
    "ledger_digest": TableData({}, "mchid day digest previous entries closed_at"),
    "daily_close": TableData({}, "mchid close_at lease_until closed_until next_day"),
    "statement_line": TableData(
        {},
        "mchid statement_id number type syssn payment_syssn wallet_ref wallet_refund_ref at amount_minor currency "
        "fee_micros settlement_minor settlement_currency rate_e8 settled_at state identity",
    ),
    "reconciliation": TableData(
        {},
        "mchid statement_id reconciliation_id account_id kind day lines matched theirs ours differences run_at",
    ),
    "remittance": TableData(
        {},
        "mchid remittance_id statement_id account_id protocol batch_no settled_on trades_from trades_to currency "
        "paid_minor refunded_minor fee_minor net_minor superseded_at",
    ),
    "conversion": TableData(
        {},
        "mchid conversion_id statement_id account_id price_currency price_minor settlement_currency "
        "settlement_minor superseded_at",
    ),
    "payout_terms": TableData(
        {}, "mchid currency cycle weekday minimum_minor reserve_ppm reserve_days since"
    ),
    "payout": TableData(
        {},
        "mchid payout_id currency number first_day last_day cycle weekday minimum_minor reserve_ppm reserve_days "
        "opening_minor payments paid_minor refunds refunded_minor reversals reversed_minor fee_minor fee_back_minor "
        "adjusted_in_minor adjusted_out_minor reserve_released_minor reserve_held_minor amount_minor carried_minor "
        "state created_at paid_at bank_reference",
    ),
    "statement_due": TableData({}, "mchid account_id kind day protocol check_at lease_until attempts"),
    "readiness": TableData({}, "is_only probes"),
    "rate_limit": TableData({}, "mchid window_s number granted last_granted grantable"),
    "rate_limit_total": TableData({}, "result requests"),
    "app": TableData(
        {},
        "appcode key_encrypted notify_url return_url webhook_style sha256_only notify_offline include_currency "
        "cancel_codes_v2 include_goods_name include_settlement quick_retries close_requires_amount max_request_age_s "
        "sha256_responses allowed_addresses redirect_uris previous_key_encrypted previous_key_until is_disabled "
        "signup_currency created_at",
    ),
    "wallet_account": TableData(
        {},
        "account_id mchid protocol wallet scene identity currency refund_window_days supports_partial_refunds "
        "fee_rate_ppm wallet_fee_rate_ppm credentials_encrypted previous_credentials_encrypted "
        "previous_credentials_until certificate_expires_at certificate_check_at lease_until created_at",
    ),
    "oauth_token": TableData(
        {}, "access_digest refresh_digest grant_id scopes access_expires_at refresh_expires_at refreshed_at"
    ),
    "oauth_removal": TableData({}, "name remove_at lease_until"),
    "encryption_key": TableData({}, "encryption_key_id noted_at"),
    "link_key": TableData({}, "key_id key_encrypted created_at accepted_until"),
}

#: The columns that `tael purge` blanks, by table.
BLANKED: Final[Mapping[str, Mapping[str, str | bytes | None]]] = {
    name: blanks for name, table in PERSONAL_DATA.items() if (blanks := table.blanks())
}

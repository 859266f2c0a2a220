"""Keys of wallet accounts, read from the operator's files: which keys an account needs, and whether they match.

A key that cannot work is refused here. Later, the first failing payment would be the only sign of it.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from tael.base.secret import Secret
from tael.cli import inputs
from tael.cli.showing import UNUSABLE, refused
from tael.merchants.domain.account import NO_SECRET, Account, AlipayAccount, AlipaySignType, WeChatAccount

#: The minimum length of both sides' keys in Alipay's documents, by sign type.
MIN_BITS: Final = {"RSA": 1024, "RSA2": 2048}


class KeyFiles(NamedTuple):
    """A file for each key to replace; None keeps the current key."""

    key_file: Path | None = None
    private_key_file: Path | None = None
    alipay_public_key_file: Path | None = None
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    sub_secret_file: Path | None = None


def with_keys(account: Account, files: KeyFiles, now: datetime) -> Account:
    """`account` with the keys in these files. They must match each other and the keys that stay."""
    match account:
        case AlipayAccount():
            return _alipay_with_keys(account, files)
        case WeChatAccount():
            return _wechat_with_keys(account, files, now)


def _alipay_with_keys(account: AlipayAccount, files: KeyFiles) -> AlipayAccount:
    sign_type = account.sign_type
    for path, option in (
        (files.certificate_file, "--certificate-file"),
        (files.certificate_key_file, "--certificate-key-file"),
        (files.sub_secret_file, "--sub-secret-file"),
    ):
        _forbid(path, option, "an Alipay account")
    if sign_type == "MD5":
        _forbid(files.private_key_file, "--private-key-file", "--sign-type MD5")
        _forbid(files.alipay_public_key_file, "--alipay-public-key-file", "--sign-type MD5")
        if files.key_file is None:
            return account
        return replace(account, key=inputs.secret_in(files.key_file, inputs.WALLET_KEY, "--key-file"))
    _forbid(files.key_file, "--key-file", f"--sign-type {sign_type}")
    private, public = account.private_key_pem, account.alipay_public_key_pem
    if files.private_key_file is not None:
        private = inputs.rsa_private_key_in(files.private_key_file, MIN_BITS[sign_type], "--private-key-file")
    if files.alipay_public_key_file is not None:
        public = inputs.rsa_public_key_in(
            files.alipay_public_key_file, MIN_BITS[sign_type], "--alipay-public-key-file"
        )
    if (private, public) == (account.private_key_pem, account.alipay_public_key_pem):
        return account
    _refuse_own_key(private, public)
    return replace(account, private_key_pem=private, alipay_public_key_pem=public)


def _wechat_with_keys(account: WeChatAccount, files: KeyFiles, now: datetime) -> WeChatAccount:
    provider, sub_secret = account.provider, account.sub_secret
    _forbid(files.private_key_file, "--private-key-file", "a WeChat Pay account")
    _forbid(files.alipay_public_key_file, "--alipay-public-key-file", "a WeChat Pay account")
    if files.key_file is not None:
        provider = replace(provider, key=inputs.secret_in(files.key_file, inputs.WALLET_KEY, "--key-file"))
    if (files.certificate_file is None) != (files.certificate_key_file is None):
        raise refused("--certificate-file and --certificate-key-file must be given together", UNUSABLE)
    if files.certificate_file is not None and files.certificate_key_file is not None:
        pem, certified = inputs.certificate_in(files.certificate_file, "--certificate-file", now)
        key = inputs.certificate_key_in(files.certificate_key_file, certified, "--certificate-key-file")
        provider = replace(provider, certificate_pem=pem, certificate_key_pem=key)
    if files.sub_secret_file is not None:
        sub_secret = inputs.secret_in(files.sub_secret_file, inputs.APP_SECRET, "--sub-secret-file")
    return replace(account, provider=provider, sub_secret=sub_secret)


def alipay_keys(
    sign_type: AlipaySignType, key_file: Path | None, private_file: Path | None, public_file: Path | None
) -> tuple[Secret, Secret, str]:
    """(shared key, private key, Alipay's public key). An account has the first or the other two, by sign type."""
    if sign_type == "MD5":
        _forbid(private_file, "--private-key-file", "--sign-type MD5")
        _forbid(public_file, "--alipay-public-key-file", "--sign-type MD5")
        key = inputs.secret_in(_required(key_file, "--key-file", sign_type), inputs.WALLET_KEY, "--key-file")
        return key, NO_SECRET, ""
    _forbid(key_file, "--key-file", f"--sign-type {sign_type}")
    private = _required(private_file, "--private-key-file", sign_type)
    public = _required(public_file, "--alipay-public-key-file", sign_type)
    pair = (
        inputs.rsa_private_key_in(private, MIN_BITS[sign_type], "--private-key-file"),
        inputs.rsa_public_key_in(public, MIN_BITS[sign_type], "--alipay-public-key-file"),
    )
    _refuse_own_key(*pair)
    return NO_SECRET, *pair


def _refuse_own_key(private_key_pem: Secret, alipay_public_key_pem: str) -> None:
    """Alipay's pages show both public keys side by side. With the merchant's own, no response would verify."""
    if inputs.is_public_half(alipay_public_key_pem, private_key_pem):
        raise refused(
            "--alipay-public-key-file: this is the public key of the merchant's own private key; "
            "use the Alipay public key shown beside it",
            UNUSABLE,
        )


def _required(path: Path | None, option: str, sign_type: AlipaySignType) -> Path:
    if path is None:
        raise refused(f"{option}: required with --sign-type {sign_type}", UNUSABLE)
    return path


def _forbid(path: Path | None, option: str, subject: str) -> None:
    if path is not None:
        raise refused(f"{option}: not used with {subject}", UNUSABLE)

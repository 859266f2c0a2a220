"""The client certificate: loaded once, replaced when renewed, never left on disk."""

import os
import ssl
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from tael.channels.wechat_v2 import certificates
from tael.channels.wechat_v2.certificates import Certificates, UnusableCertificate, pem_file
from tests.support.wechat import account, key_and_certificate


def test_a_providers_context_is_made_once_and_again_for_a_renewed_certificate() -> None:
    key, certificate = key_and_certificate("1900000109")
    of_account = account("MD5", certificate, key)
    renewed_key, renewed = key_and_certificate("1900000109")
    contexts = Certificates()

    first = contexts.of_account(of_account)

    assert contexts.of_account(of_account) is first
    assert contexts.of_account(account("MD5", renewed, renewed_key)) is not first


def test_a_context_that_was_dropped_is_made_anew_and_those_in_use_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificates, "MAX_CONTEXTS", 2)
    pairs = {mch_id: key_and_certificate(mch_id) for mch_id in ("1900000101", "1900000102", "1900000103")}
    in_use, idle, newest = (
        replace(account("MD5", certificate, key), mch_id=mch_id)
        for mch_id, (key, certificate) in pairs.items()
    )
    contexts = Certificates()
    kept, dropped = contexts.of_account(in_use), contexts.of_account(idle)

    assert contexts.of_account(in_use) is kept
    contexts.of_account(newest)

    assert contexts.of_account(in_use) is kept
    assert contexts.of_account(idle) is not dropped


def test_the_context_of_a_replaced_certificate_is_dropped() -> None:
    replaced, renewed = (key_and_certificate("1900000109")[::-1] for _ in range(2))
    seconds = 0.0
    contexts = Certificates(timer=lambda: seconds)
    under_way = contexts.of_account(account("MD5", *replaced))
    kept, dropped = weakref.ref(under_way), weakref.ref(contexts.of_account(account("MD5", *replaced)))
    assert kept() is dropped() is under_way

    seconds = certificates.CONTEXT_LIFE_S
    assert contexts.of_account(account("MD5", *renewed)) is not under_way

    assert kept() is under_way  # as long as a connection has it
    del under_way
    assert dropped() is None


def test_every_context_verifies_the_other_side() -> None:
    key, certificate = key_and_certificate("1900000109")
    contexts = Certificates()

    for context in (contexts.anonymous(), contexts.of_account(account("MD5", certificate, key))):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert contexts.anonymous() is contexts.anonymous()


def test_an_own_authority_replaces_the_public_ones() -> None:
    authority = trustme.CA().cert_pem.bytes().decode()

    trusted = Certificates(authority).anonymous().get_ca_certs(binary_form=True)

    assert trusted == [ssl.PEM_cert_to_DER_cert(authority)]


def test_an_unusable_certificate_is_an_error_without_a_passphrase_prompt() -> None:
    key, certificate = key_and_certificate("1900000109")
    _, anothers = key_and_certificate("1900000109")
    locked, of_locked = key_and_certificate("1900000109", encrypted=True)

    for pair in (("", ""), ("nonsense", key), (anothers, key), (certificate, ""), (of_locked, locked)):
        with pytest.raises(UnusableCertificate):
            Certificates().of_account(account("MD5", *pair))


def test_a_pem_is_a_private_file_for_a_moment_only() -> None:
    open_before = len(os.listdir("/proc/self/fd"))

    with pem_file(b"PEM") as path:
        assert Path(path).read_bytes() == b"PEM"
        assert os.stat(path).st_uid == os.getuid()

    assert not Path(path).exists()
    assert len(os.listdir("/proc/self/fd")) == open_before

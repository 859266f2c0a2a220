"""Reading Alipay's bytes: both charsets, and every form that could give one signature two meanings."""

import pytest

from tael.channels.alipay_mapi.messages import (
    Accepted,
    Node,
    Rejected,
    Unreadable,
    read_envelope,
    read_form,
)
from tests.support.alipay import BARE, alipay_account, notice_body, xml_answer, xml_rejection

ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(9))


def test_the_three_kinds_of_response() -> None:
    assert read_envelope(xml_rejection("ILLEGAL_SIGN")) == Rejected("ILLEGAL_SIGN")
    with_echo = (
        b'<alipay><is_success>F</is_success><request><param name="service">x</param></request>'
        b"<error>ILLEGAL_SERVICE</error></alipay>"
    )
    assert read_envelope(with_echo) == Rejected("ILLEGAL_SERVICE")
    assert read_envelope(BARE) == Accepted()
    node = read_envelope(xml_answer({"result_code": "SUCCESS"}))
    assert isinstance(node, Node)
    assert node.fields == {"result_code": "SUCCESS"}


def test_gbk_is_read_by_the_xml_prolog_and_its_signature_verified() -> None:
    node = read_envelope(xml_answer({"subject": "测试", "trade_no": "1"}, encoding="GBK"))
    assert isinstance(node, Node)
    assert node.fields["subject"] == "测试"
    assert node.is_genuine(alipay_account())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"true",
        b"<html></html>",
        b"<alipay>",
        b"\xff\xfe<\x00a\x00l\x00i\x00p\x00a\x00y\x00",
        b"<alipay/>",
        b"<alipay><is_success>t</is_success></alipay>",
        b"<alipay><is_success>F</is_success><is_success>T</is_success></alipay>",
        b"<alipay><is_success>T</is_success><response><alipay/><trade/></response></alipay>",
        b"<alipay><is_success>T</is_success><response><alipay/></response><response><alipay/></response></alipay>",
        b"<alipay><is_success>T</is_success><response><alipay><a>1</a><a>2</a></alipay></response></alipay>",
        b"<alipay><is_success>T</is_success><response><alipay><a><b>2</b></a></alipay></response></alipay>",
        b"<alipay><is_success>T</is_success><sign>1</sign><sign>2</sign></alipay>",
        b'<?xml version="1.0" encoding="UTF-7"?><alipay><is_success>T</is_success></alipay>',
        b'<?xml version="1.0" encoding="idna"?><alipay><is_success>T</is_success></alipay>',
        b'<?xml version="1.0" encoding="UTF-8"?><alipay><is_success>\xff</is_success></alipay>',
        b"<!DOCTYPE alipay><alipay><is_success>T</is_success></alipay>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><alipay><is_success>&x;</is_success></alipay>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><alipay><is_success>T</is_success></alipay>',
        f"<!DOCTYPE a [{ENTITIES}]><alipay><is_success>&a8;</is_success></alipay>".encode(),
        b"<alipay><is_success>&undefined;</is_success></alipay>",
        b"<alipay>\x00</alipay>",
    ],
)
def test_anything_else_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_envelope(body)


def test_a_comment_in_a_value_does_not_hide_a_part_of_it() -> None:
    """The verified text is the one that is read: the parser joins the text around a comment."""
    signed = xml_answer({"trans_amount": "39.25"})
    node = read_envelope(signed.replace(b"39.25", b"39<!-- x -->.25"))
    assert isinstance(node, Node)
    assert node.fields["trans_amount"] == "39.25"


@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_forms_come_in_both_charsets(charset: str) -> None:
    form = read_form(notice_body({"subject": "测试 a+b&c", "body": ""}, charset=charset))
    assert (form.fields["subject"], form.charset) == ("测试 a+b&c", charset)


@pytest.mark.parametrize(
    "body",
    [b"a=1&a=2", b"a=%ff%ff%ff", "a=测".encode(), b"&".join(b"f%d=1" % n for n in range(500))],
)
def test_odd_forms_are_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_form(body)

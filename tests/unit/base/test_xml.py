"""The XML reader: what it gives, and what it refuses."""

import pytest

from tael.base.xml import NotXml, parse_xml

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<a><![CDATA[<b>&amp;]]></a>", "<b>&amp;"),
        ("<a><![CDATA[x]]]]><![CDATA[>y]]></a>", "x]]>y"),
        ("<a>x<!-- no text -->y<?no text?>z</a>", "xyz"),
        ("<a>&lt;&#x4e2d;&#20013;</a>", "<中中"),
        ('<?xml version="1.0" encoding="GBK"?><a>中</a>', "中"),
        ("<a>" + "x" * 100_000 + "</a>", "x" * 100_000),
    ],
)
def test_text_is_what_the_document_says(text: str, read: str) -> None:
    assert parse_xml(text).text == read


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "text", "<a>", "<a></b>", "<a/><b/>", "<a>&nbsp;</a>", "<a b='1' b='2'/>", "<a>\0</a>"),
        *("<a>\ud800</a>", "<!DOCTYPE a><a/>", "<!DOCTYPE a SYSTEM 'http://127.0.0.1/'><a/>", BOMB, EXTERNAL),
        '<?xml version="1.0"?><!DOCTYPE a><a/>',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotXml):
        parse_xml(text)


def test_a_document_may_be_nested_deeply() -> None:
    text = "<a>" * 100_000 + "</a>" * 100_000
    assert len(list(parse_xml(text).iter())) == 100_000

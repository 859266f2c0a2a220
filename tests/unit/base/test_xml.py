"""The XML reader: what it gives, and what it refuses."""

import pytest

from tael.base.xml import MAX_DEPTH, NotXml, parse_xml

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


def test_elements_attributes_text_and_tails() -> None:
    root = parse_xml('<a>one<b k="v">two</b>three<b/>four</a>')

    assert (root.name, root.attributes, root.text, root.tail) == ("a", {}, "one", "")
    first, second = root.find_all("b")
    assert (first.attributes, first.text, first.tail) == ({"k": "v"}, "two", "three")
    assert (second.text, second.tail) == ("", "four")
    assert root.find_all("c") == []


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
        "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotXml):
        parse_xml(text)


def test_the_limit_of_depth_itself_is_accepted() -> None:
    assert parse_xml("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH).name == "a"

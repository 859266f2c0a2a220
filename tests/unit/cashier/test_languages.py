"""Every text of the pages exists in three languages and is used; the browser's Accept-Language selects the language."""

import re
from pathlib import Path

import pytest
from babel.core import get_global
from babel.localedata import locale_identifiers

from tael.cashier import languages
from tael.cashier.languages import HTML_LANG, OWN_NAME, WORDS, accepted, words
from tael.oauth.domain.scopes import Scope

CASHIER = Path(languages.__file__).parent
#: Characters that differ between the scripts; a text with one of them is in that script.
SIMPLIFIED, TRADITIONAL = "这单额设备开时间还为显扫码宝请页钟确认", "這單額設備開時間還為顯掃碼寶請頁鐘確認"
#: Both scripts have these.
SHARED = set(SIMPLIFIED) & set(TRADITIONAL)


@pytest.mark.parametrize("lang", HTML_LANG)
def test_every_text_exists_in_every_language(lang: str) -> None:
    texts = words(lang)
    assert set(texts) == set(WORDS)
    assert all(text.strip() for text in texts.values())
    assert lang in OWN_NAME


def test_chinese_is_chinese_and_english_is_not() -> None:
    for name, (english, simplified, traditional) in WORDS.items():
        assert not re.search("[\u4e00-\u9fff]", english), name
        assert re.search("[\u4e00-\u9fff]", simplified), name
        assert re.search("[\u4e00-\u9fff]", traditional), name
        assert not (set(TRADITIONAL) - SHARED) & set(simplified), name
        assert not (set(SIMPLIFIED) - SHARED) & set(traditional), name


def test_no_text_is_unused_and_none_is_missing() -> None:
    files = [*CASHIER.glob("*.py"), *CASHIER.glob("templates/*.html")]
    text = "\n".join(file.read_text("utf-8") for file in files if file.name != "languages.py")
    composed = {
        f"{prefix}_{wallet}"
        for prefix in ("scan", "qr", "open", "leave_wechat")
        for wallet in ("alipay", "wechat")
    }
    ends = {f"{state}{more}" for state in ("paid", "closed", "expired", "failed") for more in ("", "_more")}
    wallets = {"alipay", "wechat"}
    named = set(re.findall(r"\bt\.([a-z_]+)", text)) | composed | ends | wallets
    named |= {"wechat_needs_openid"} | {f"scope_{scope}" for scope in Scope}
    named |= set(re.findall(r'_page\(request, visit, context, "(\w+)"', text))
    named |= {name for pair in re.findall(r'message\(request, "(\w+)", "(\w+)"', text) for name in pair}
    assert named == set(WORDS)


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", "en"),
        ("de", "en"),
        ("*", "en"),
        ("en-HK", "en"),
        ("zh", "zh-cn"),
        ("zh-CN", "zh-cn"),
        ("zh-SG", "zh-cn"),
        ("zh-Hans-HK", "zh-cn"),
        ("zh-Hant", "zh-hk"),
        ("zh-TW", "zh-hk"),
        ("zh-MO", "zh-hk"),
        ("ZH-hk", "zh-hk"),
        ("de, zh-TW;q=0.8, en;q=0.5", "zh-hk"),
        ("en;q=0.4, zh-CN;q=0.8", "zh-cn"),
        ("zh;q=0, en;q=0.1", "en"),
        ("yue", "zh-hk"),  # Cantonese, as a phone in Hong Kong may be set
        ("yue-HK, zh-HK;q=0.9, en;q=0.8", "zh-hk"),
        ("yue-CN", "zh-cn"),
        ("yue-Hans-HK", "zh-cn"),
        ("zh-yue", "zh-hk"),
        ("cmn-Hant-TW, en;q=0.9", "zh-hk"),
        ("zh-cmn-Hant-TW", "zh-hk"),
        ("zh-cmn-Hans-TW", "zh-cn"),
        ("zhx, english, yuezh", "en"),
        ("zh;q=x, en", "en"),
        (";;,,=,q=;q", "en"),
        ("x," * 5000 + "zh", "en"),
    ],
)
def test_the_browsers_own_order_of_preference_decides(header: str, lang: str) -> None:
    assert accepted(header) == lang


def chinese_locales() -> list[str]:
    """Every locale of Chinese in characters that the Unicode CLDR lists, by Babel, with its script and without."""
    found = [name for name in locale_identifiers() if re.match("(zh|yue)(?!_Latn)", name)]
    return sorted({*found, *(re.sub("_Han[st](?=_)", "", name) for name in found)})


@pytest.mark.parametrize("name", chinese_locales())
def test_chinese_is_written_as_in_the_reader_s_place(name: str) -> None:
    likely = get_global("likely_subtags")
    language, *rest = name.split("_")
    script = next((part for part in rest if len(part) == 4), None)
    script = script or likely.get(name, likely[language]).split("_")[1]
    assert accepted(name.replace("_", "-")) == {"Hans": "zh-cn", "Hant": "zh-hk"}[script]


def test_every_writing_of_chinese_is_among_them() -> None:
    assert {"zh", "zh_TW", "zh_HK", "zh_MO", "zh_SG", "zh_Hans_HK", "yue_HK", "yue"} <= set(chinese_locales())

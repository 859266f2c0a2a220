"""The texts of the pages in English, simplified and traditional Chinese, and the choice of language."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

#: HTML's language tag for each value of `lang` in an address.
HTML_LANG: Final[Mapping[str, str]] = {"en": "en", "zh-cn": "zh-Hans", "zh-hk": "zh-Hant"}
OWN_NAME: Final[Mapping[str, str]] = {"en": "English", "zh-cn": "简体中文", "zh-hk": "繁體中文"}
DEFAULT: Final = "en"
#: Chinese, Mandarin and Cantonese. A browser adds a script or a region, or leaves the writing to the language.
CHINESE: Final = frozenset({"zh", "cmn", "yue"})
TRADITIONAL: Final = frozenset({"hant", "hk", "mo", "tw"})
SIMPLIFIED: Final = frozenset({"hans", "cn"})
MAX_ACCEPTED: Final = 20

#: By name: in English, simplified and traditional Chinese.
WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "pay_title": ("Payment", "付款", "付款"),
    "pay_to": ("Pay to", "收款方", "收款方"),
    "language": ("Language", "语言", "語言"),
    "alipay": ("Alipay", "支付宝", "支付寶"),
    "wechat": ("WeChat Pay", "微信支付", "微信支付"),
    "time_left": ("Time left", "剩余时间", "剩餘時間"),
    "waiting": ("Waiting for your payment", "等待付款", "等待付款"),
    "scan_alipay": (
        "Open Alipay on your phone and scan this code",
        "请用手机支付宝扫描二维码",
        "請用手機支付寶掃描二維碼",
    ),
    "scan_wechat": (
        "Open WeChat on your phone and scan this code",
        "请用手机微信扫描二维码",
        "請用手機微信掃描二維碼",
    ),
    "qr_alipay": ("QR code for paying with Alipay", "支付宝付款二维码", "支付寶付款二維碼"),
    "qr_wechat": ("QR code for paying with WeChat Pay", "微信付款二维码", "微信付款二維碼"),
    "pay_here": ("Pay on this computer instead", "在此电脑上用支付宝付款", "在此電腦上用支付寶付款"),
    "other_phone": (
        "Scan this code with another phone: the one you pay with.",
        "请用另一部手机（付款的手机）扫描此二维码。",
        "請用另一部手機（付款的手機）掃描此二維碼。",
    ),
    "open_alipay": ("Pay with Alipay", "用支付宝付款", "用支付寶付款"),
    "open_wechat": ("Pay with WeChat", "用微信付款", "用微信付款"),
    "pay_now": ("Pay now", "立即支付", "立即支付"),
    "leave_wechat_wechat": (
        "This payment begins in another browser. Tap ··· at the top, then “Open in browser”.",
        "此付款须在其他浏览器中进行。请点右上角 ···，选择“在浏览器打开”。",
        "此付款須在其他瀏覽器中進行。請點右上角 ···，選擇「在瀏覽器打開」。",
    ),
    "leave_wechat_alipay": (
        "Alipay cannot be used inside WeChat. Tap ··· at the top, then “Open in browser”.",
        "微信内无法使用支付宝。请点右上角 ···，选择“在浏览器打开”。",
        "微信內無法使用支付寶。請點右上角 ···，選擇「在瀏覽器打開」。",
    ),
    "open_in_wechat": ("Open this page inside WeChat.", "请在微信中打开此页。", "請在微信中打開此頁。"),
    "confirming": ("Payment sent. Waiting for confirmation.", "支付完成，正在确认。", "支付完成，正在確認。"),
    "cancelled": ("Cancelled. You can still pay.", "已取消，您仍可付款。", "已取消，您仍可付款。"),
    "not_gone_through": (
        "The payment did not go through. You can try again.",
        "支付失败，请重试。",
        "支付失敗，請重試。",
    ),
    "time_over": (
        "Time is up. Checking whether the payment arrived …",
        "付款时间已到，正在确认是否到账……",
        "付款時間已到，正在確認是否到賬……",
    ),
    "preparing": (
        "This payment is being prepared. Reload the page in a moment.",
        "订单正在准备中，请稍后刷新页面。",
        "訂單正在準備中，請稍後重新載入頁面。",
    ),
    "closing": (
        "The shop is cancelling this order. If you have paid already, the result will appear here.",
        "商家正在取消此订单。如您已付款，结果将显示在此页。",
        "商家正在取消此訂單。如您已付款，結果將顯示在此頁。",
    ),
    "reload": ("Reload", "刷新", "重新載入"),
    "no_script": (
        "Reload this page after paying to see the result.",
        "付款后请刷新此页查看结果。",
        "付款後請重新載入此頁查看結果。",
    ),
    "needs_script": (
        "This page needs JavaScript. Turn it on and reload.",
        "此页需要 JavaScript，请启用后刷新。",
        "此頁需要 JavaScript，請啟用後重新載入。",
    ),
    "still_open": (
        "Your first choice could not be cancelled yet. Continue here, or try the other one again in a minute.",
        "之前选择的支付方式暂时无法取消。请在此继续付款，或稍后再换。",
        "之前選擇的支付方式暫時無法取消。請在此繼續付款，或稍後再換。",
    ),
    "paid": ("Paid", "支付成功", "支付成功"),
    "paid_more": ("Thank you. We have received your payment.", "谢谢，款项已收到。", "謝謝，款項已收到。"),
    "closed": ("Order closed", "订单已关闭", "訂單已關閉"),
    "closed_more": (
        "This order was closed and can no longer be paid.",
        "此订单已关闭，无法付款。",
        "此訂單已關閉，無法付款。",
    ),
    "expired": ("Order expired", "订单已过期", "訂單已過期"),
    "expired_more": (
        "The time to pay has expired.",
        "付款时间已过。",
        "付款時間已過。",
    ),
    "failed": ("Payment failed", "支付失败", "支付失敗"),
    "failed_more": ("Nothing was charged.", "未扣款。", "未扣款。"),
    "back_to_shop": ("Back to the shop", "返回商家", "返回商家"),
    "going_back": (
        "Taking you back to the shop …",
        "即将返回商家页面。",
        "即將返回商家頁面。",
    ),
    "may_close": ("You can close this page.", "您可以关闭此页。", "您可以關閉此頁。"),
    "another_way": ("Pay another way", "换一种支付方式", "換一種支付方式"),
    "choose": ("How would you like to pay?", "请选择支付方式", "請選擇支付方式"),
    "go_on": ("Continue your payment", "继续之前的付款", "繼續之前的付款"),
    "leave": ("Cancel and go back", "取消并返回", "取消並返回"),
    "left": ("Payment cancelled", "已取消付款", "已取消付款"),
    "link_ended": ("This payment link is no longer valid", "此付款链接已失效", "此付款連結已失效"),
    "no_wallet_here": (
        "None of this shop's wallets works in this browser. Open this page in another browser.",
        "此处没有可用的支付方式，请换一个浏览器打开此页。",
        "此處沒有可用的支付方式，請換一個瀏覽器打開此頁。",
    ),
    "wechat_needs_openid": (
        "This link cannot start WeChat Pay inside WeChat. Open the link on a computer and scan the code there.",
        "此链接无法在微信内发起微信支付。请在电脑上打开，再扫描页面上的二维码。",
        "此連結無法在微信內發起微信支付。請在電腦上打開，再掃描頁面上的二維碼。",
    ),
    "opening": ("Opening your payment …", "正在打开付款页……", "正在打開付款頁……"),
    "bad_link": ("This payment link does not work", "此付款链接无法使用", "此付款連結無法使用"),
    "bad_link_more": (
        "Go back to the shop and try again. If the problem remains, give the shop this code:",
        "请返回商家重试。如仍失败，请向商家提供以下代码：",
        "請返回商家重試。如仍失敗，請向商家提供以下代碼：",
    ),
    "sign_in": ("Sign in", "登录", "登入"),
    "username": ("Username", "用户名", "用戶名"),
    "password": ("Password", "密码", "密碼"),
    "sign_in_for": (
        "An app asks for access to your account",
        "某应用请求访问您的账户",
        "某應用請求存取您的帳戶",
    ),
    "wrong_password": (
        "The username or the password is wrong.",
        "用户名或密码错误。",
        "用戶名或密碼錯誤。",
    ),
    "too_many_attempts": (
        "Too many attempts. Try again in 15 minutes.",
        "尝试次数过多，请 15 分钟后再试。",
        "嘗試次數過多，請 15 分鐘後再試。",
    ),
    "form_expired": (
        "This form has expired. Please try again.",
        "表单已过期，请重试。",
        "表單已過期，請重試。",
    ),
    "consent_title": ("Allow access?", "是否授权？", "是否授權？"),
    "consent_app": ("The app", "应用", "應用"),
    "consent_asks": ("asks to read:", "请求读取：", "請求讀取："),
    "scope_user_baseinfo": (
        "your nickname and user id",
        "您的昵称和用户编号",
        "您的暱稱和用戶編號",
    ),
    "scope_user_tradelist": (
        "the payments of this shop in the last three months:",
        "以下商户最近三个月的收款：",
        "以下商戶最近三個月的收款：",
    ),
    "consent_next": ("You will go to", "随后将前往", "隨後將前往"),
    "allow": ("Allow", "同意", "同意"),
    "deny": ("Refuse", "拒绝", "拒絕"),
    "signed_in_as": ("Signed in as", "已登录：", "已登入："),
    "sign_out": ("Use another account", "使用其他账户", "使用其他帳戶"),
    "bad_consent": ("This request cannot be opened", "无法打开此请求", "無法打開此請求"),
    "bad_consent_more": (
        "The app that sent you here made a mistake. Tell its developer:",
        "引导您来此的应用有误。请告知其开发者：",
        "引導您來此的應用有誤。請告知其開發者：",
    ),
    "try_later": (
        "The payment service is not available. Try again in a minute.",
        "支付服务暂时无法连接，请稍后再试。",
        "支付服務暫時無法連接，請稍後再試。",
    ),
    "not_now": ("Payment is not possible right now", "暂时无法付款", "暫時無法付款"),
    "gone": ("Payment not found", "未找到此订单", "未找到此訂單"),
    "gone_more": (
        "Check the address, or go back to the shop.",
        "请检查网址，或返回商家。",
        "請檢查網址，或返回商家。",
    ),
}

NAMES: Final = tuple(HTML_LANG)


def words(lang: str) -> dict[str, str]:
    """All texts in one language, by name."""
    column = NAMES.index(lang)
    return {name: texts[column] for name, texts in WORDS.items()}


def language_of(request: Request) -> str:
    """The `lang` of the address, or the best match for the browser's Accept-Language."""
    requested = request.query_params.get("lang", "").lower()
    return requested if requested in HTML_LANG else accepted(request.headers.get("accept-language", ""))


def accepted(header: str) -> str:
    """The supported language that the browser prefers most."""
    ranked: list[tuple[float, str]] = []
    for part in header.split(",")[:MAX_ACCEPTED]:
        tag, _, quality = part.strip().lower().partition(";")
        ranked.append((_quality(quality), tag.strip()))
    for rank, tag in sorted(ranked, key=lambda entry: -entry[0]):
        if rank > 0 and (ours := _ours(tag)):
            return ours
    return DEFAULT


def _ours(tag: str) -> str | None:
    """The language of ours for a browser's tag, such as `zh-hk` for `zh-hant-mo`. A script counts before a region."""
    language, *rest = tag.split("-")
    if language == "en":
        return "en"
    if language not in CHINESE:
        return None
    for subtag in sorted(rest, key=len, reverse=True):
        if subtag in TRADITIONAL:
            return "zh-hk"
        if subtag in SIMPLIFIED:
            return "zh-cn"
    return "zh-hk" if "yue" in (language, *rest) else "zh-cn"


def _quality(text: str) -> float:
    name, _, value = text.strip().partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0

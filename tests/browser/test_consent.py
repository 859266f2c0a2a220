"""Signing in and consenting in a real browser, with its own content policy, cookies and redirects."""

import re
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect

from tests.browser.conftest import check_accessibility, looks
from tests.end_to_end import conftest as end_to_end
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo

demo_folder = end_to_end.demo_folder
demo = end_to_end.demo
shop = end_to_end.shop

PASSWORD: Final = "correct horse battery"


def test_a_user_signs_in_and_permits_an_app(page: Page, demo: Demo, shop: Merchant, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    callback = f"{demo.gateway}/healthz?app=1"  # a page of this machine
    demo.ask("app", "set", shop.appcode, "--redirect-uri", callback)
    user = ("user", "add", shop.mchid, "--username", "anna", "--nickname", "Anna <b>Lam</b>")
    demo.ask(*user, "--password-file", str(file))
    scopes = "user_baseinfo,user_tradelist"
    page.goto(
        f"{demo.gateway}/oauth/v2/authorize?client_id={shop.appcode}&response_type=code"
        f"&scope={scopes}&state=x%26y&lang=en"
    )
    for look in looks(page):
        check_accessibility(page)
        assert look
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The username or the password is wrong.")
    page.get_by_role("link", name="繁體中文").click()
    page.get_by_label("用戶名").fill("Anna")  # a phone writes the first letter in upper case
    page.get_by_label("密碼").fill(PASSWORD)
    page.get_by_role("button", name="登入").click()
    expect(page.get_by_role("heading", name="是否授權？")).to_be_visible()
    page.get_by_role("link", name="English").click()
    expect(page.get_by_text("Anna <b>Lam</b>")).to_be_visible()
    expect(page.get_by_text("Harbour Tea")).to_be_visible()
    for look in looks(page):
        check_accessibility(page)
        assert look
    page.get_by_role("button", name="Allow").click()
    expect(page).to_have_url(re.compile(re.escape(f"{callback}&code=") + r"[0-9a-f-]{36}&state=x%26y$"))

"""Who may see and do what: log-in, sessions, roles, forms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from config.errors import InputError
from node.ledger import accounts
from node.ledger.account_tables import LogInFailure, User, WebSession
from node.ledger.database import now_utc
from node.web.app import PAGES
from node.web.page_request import local_path
from node.web.passwords import password_fits
from tests.web.conftest import PASSWORD, Site, csrf, make_case, post

PATHS = {
    "study": "1.2.3", "series": "1.2.3.1", "revision": "1", "job": "none", "delivery:int": "1", "name": "nobody",
}  # fmt: skip
RANKS = {"anonymous": 0, "read": 1, "operate": 2, "admin": 3}


def filled(path: str) -> str:
    for name, value in PATHS.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def everybody(site: Site) -> None:
    for name, role in (("boss", "admin"), ("operator", "operate"), ("reader", "read")):
        site.add_user(name, role)


def test_without_users_the_pages_open_on_loopback_and_say_so(site: Site) -> None:
    answer = site.browser().get("/cases")
    assert answer.status_code == 200
    assert "There is no user yet" in answer.text
    assert site.browser().get("/users").status_code == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_without_users_nothing_comes_through_a_proxy(site: Site, header: str) -> None:
    answer = site.browser().get("/cases", headers={header: "192.0.2.1"})
    assert answer.status_code == 403
    assert "no user yet" in answer.text


def test_without_users_an_address_for_others_stays_shut(make_site: Callable[..., Site]) -> None:
    site = make_site('[web]\nbind = "0.0.0.0"\n')
    assert site.browser().get("/cases").status_code == 403


def test_with_a_user_every_page_asks_for_a_log_in(site: Site) -> None:
    everybody(site)
    for path, method, _, role in PAGES:
        answer = site.browser().request(method, filled(path))
        if role == "anonymous":
            assert answer.status_code in (200, 403), path  # 403: a form without its token
        elif method == "GET":
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/log-in?next="), path
        else:
            assert answer.status_code == 401, path
    assert site.browser().get("/events").status_code == 401


@pytest.mark.parametrize("name", ["reader", "operator", "boss"])
def test_each_role_reaches_its_pages_and_no_others(site: Site, name: str) -> None:
    everybody(site)
    make_case(site)
    rank = {"reader": 1, "operator": 2, "boss": 3}[name]
    browser = site.logged_in(name)
    for path, method, _, role in PAGES:
        if method == "POST" and path in ("/log-out", "/account", "/log-in"):
            continue
        token = csrf(browser.get("/account").text)
        answer = browser.request(method, filled(path), data={"csrf": token} if method == "POST" else None)
        if RANKS[role] > rank:
            assert answer.status_code == 403, path
            assert "This needs the role" in answer.text, path
        else:
            assert answer.status_code != 403, path
            assert answer.status_code < 500, (path, answer.text)


def test_no_form_is_taken_without_its_token(site: Site) -> None:
    make_case(site)
    browser = site.browser()
    token = csrf(browser.get("/cases").text)
    posts = [path for path, method, _, _ in PAGES if method == "POST"]
    assert len(posts) >= 12
    for path in posts:
        for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
            assert browser.post(filled(path), data=data).status_code == 403, path
        assert site.browser().post(filled(path), data={"csrf": token}).status_code == 403, path  # another browser's


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_form_of_another_site_is_refused_even_with_its_token(site: Site, headers: dict[str, str]) -> None:
    make_case(site)
    browser = site.browser()
    token = csrf(browser.get("/cases").text)
    data = {"csrf": token, "because": "x"}
    assert browser.post("/cases/1.2.3/hold", data=data, headers=headers).status_code == 403
    own = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/cases/1.2.3/hold", data=data, headers=own).status_code == 303


def test_a_log_in_sets_a_new_strict_cookie_and_leads_on(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.browser()
    browser.get("/cases")
    before = browser.cookies["cptdn"]
    token = csrf(browser.get("/log-in?next=/model").text)
    answer = browser.post(
        "/log-in", data={"name": "boss", "password": PASSWORD, "next": "/model", "csrf": token}
    )  # fmt: skip
    assert (answer.status_code, answer.headers["location"]) == (303, "/model")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert browser.cookies["cptdn"] != before
    assert browser.get("/cases").status_code == 200
    assert [(event.action, event.user, event.success) for event in site.events][-1] == ("log_in", "boss", True)


def test_the_ledger_keeps_neither_password_nor_token(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.logged_in("boss")
    with site.ledger.begin() as session:
        (user,), (row,) = session.scalars(select(User)).all(), session.scalars(select(WebSession)).all()
    assert user.password_hash.startswith("$argon2id$")
    assert PASSWORD not in user.password_hash
    assert browser.cookies["cptdn"] not in row.id
    assert password_fits(PASSWORD, user.password_hash)
    assert not password_fits(PASSWORD + "x", user.password_hash)
    assert not password_fits("no user has this password", None)


def test_log_out_ends_the_session_everywhere(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.logged_in("boss")
    kept = browser.cookies["cptdn"]
    assert post(browser, "/log-out", {}).status_code == 303
    again = site.browser(cookies={"cptdn": kept})
    assert again.get("/cases").status_code == 303


def test_a_session_ends_when_idle_and_after_its_longest_time(site: Site) -> None:
    site.add_user("boss", "admin")
    idle, longest = site.context.idle, site.context.longest
    for column, age in ((WebSession.seen_at, idle), (WebSession.created_at, longest)):
        browser = site.logged_in("boss")
        for apart, status in ((timedelta(minutes=-1), 200), (timedelta(minutes=1), 303)):
            with site.ledger.begin() as session:
                session.execute(update(WebSession).values({column: now_utc() - age - apart}))
            assert browser.get("/cases").status_code == status


def test_live_updates_do_not_keep_a_session_alive(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.logged_in("boss")
    past = now_utc() - timedelta(minutes=5)

    def seen_at() -> object:
        with site.ledger.begin() as session:
            return session.scalars(select(WebSession.seen_at)).one()

    with site.ledger.begin() as session:
        session.execute(update(WebSession).values(seen_at=past))
    assert browser.get("/cases", headers={"X-Live": "1"}).status_code == 200
    assert seen_at() == past
    browser.get("/cases")
    assert seen_at() != past


def test_failed_log_ins_are_limited_even_with_the_right_password(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.browser()
    for _ in range(accounts.FAILURES_OF_PAIR):
        answer = post(browser, "/log-in", {"name": "boss", "password": "wrong"}, seen_on="/log-in")
        assert answer.status_code == 401
        assert "wrong" in answer.text
    blocked = post(browser, "/log-in", {"name": "boss", "password": PASSWORD}, seen_on="/log-in")
    assert blocked.status_code == 429
    assert 0 < int(blocked.headers["retry-after"]) <= accounts.FAILURE_WINDOW.total_seconds()
    with site.ledger.begin() as session:  # the window goes by
        past = now_utc() - accounts.FAILURE_WINDOW - timedelta(seconds=1)
        session.execute(update(LogInFailure).values(at=past))
    assert post(browser, "/log-in", {"name": "boss", "password": PASSWORD}, seen_on="/log-in").status_code == 303


def test_limits_count_by_pair_by_name_and_by_address(site: Site) -> None:
    with site.ledger.begin() as session:
        for _ in range(accounts.FAILURES_OF_PAIR):
            accounts.record_failed_log_in(session, "192.0.2.1", "wang")
        assert accounts.log_in_blocked_for_s(session, "192.0.2.1", "wang") > 0
        assert accounts.log_in_blocked_for_s(session, "192.0.2.2", "wang") == 0  # a stranger does not lock a user out
        assert accounts.log_in_blocked_for_s(session, "192.0.2.1", "li") == 0
        for number in range(accounts.FAILURES_OF_ADDRESS):
            accounts.record_failed_log_in(session, "192.0.2.1", f"name {number}")
        assert accounts.log_in_blocked_for_s(session, "192.0.2.1", "li") > 0
        for number in range(accounts.FAILURES_OF_NAME):
            accounts.record_failed_log_in(session, f"198.51.100.{number}", "zhao")
        assert accounts.log_in_blocked_for_s(session, "192.0.2.9", "zhao") > 0


def test_an_unknown_name_and_a_wrong_password_look_the_same(site: Site) -> None:
    site.add_user("boss", "admin")
    texts = []
    for name in ("boss", "nobody"):
        answer = post(site.browser(), "/log-in", {"name": name, "password": "wrong"}, seen_on="/log-in")
        texts.append((answer.status_code, answer.text.count("User name or password is wrong.")))
    assert texts == [(401, 1), (401, 1)]


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("/cases/1.2?x=1", "/cases/1.2?x=1"), ("//evil.example", "/cases"), ("https://evil.example/", "/cases"),
        ("/\\evil.example", "/cases"), ("javascript:alert(1)", "/cases"), ("", "/cases"),
        ("/a\r\nSet-Cookie: x", "/cases"),
    ],
)  # fmt: skip
def test_a_form_leads_to_our_own_pages_only(where: str, target: str) -> None:
    assert local_path(where) == target


def test_an_administrator_keeps_the_users(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.logged_in("boss")
    form = {"name": "wang", "role": "operate", "password": "another short sentence"}
    assert post(browser, "/users", form).status_code == 303
    assert "wang" in browser.get("/users").text
    assert post(browser, "/users/wang", {"role": "read", "password": ""}).status_code == 303
    with site.ledger.begin() as session:
        assert accounts.get_user(session, "wang").role == "read"
    for path, data in (("/users/boss/remove", {}), ("/users/boss", {"role": "read"})):
        answer = post(browser, path, data)
        assert answer.status_code == 400, path
        assert "last administrator" in answer.text
    short = post(browser, "/users", {"name": "li", "role": "read", "password": "short"})
    assert (short.status_code, "10 to 256" in short.text) == (400, True)
    assert post(browser, "/users/wang/remove", {}).status_code == 303
    with site.ledger.begin() as session:
        assert accounts.find_user(session, "wang") is None


def test_the_first_user_is_an_administrator(site: Site) -> None:
    with site.ledger.begin() as session, pytest.raises(InputError, match="first user must have the role admin"):
        accounts.add_user(session, "wang", "x", "read")


def test_a_new_password_and_a_removal_end_all_sessions(site: Site) -> None:
    everybody(site)
    first, second = site.logged_in("reader"), site.logged_in("reader")
    wrong = post(first, "/account", {"old_password": "wrong", "new_password": "another short sentence"})
    assert wrong.status_code == 400
    changed = post(first, "/account", {"old_password": PASSWORD, "new_password": "another short sentence"})
    assert changed.status_code == 303
    assert second.get("/cases").status_code == 303
    operator = site.logged_in("operator")
    with site.ledger.begin() as session:
        accounts.remove_user(session, "operator")
    assert operator.get("/cases").status_code == 303


def test_language_and_appearance_are_kept(site: Site) -> None:
    site.add_user("boss", "admin")
    browser = site.logged_in("boss")
    assert browser.get("/cases").headers["content-language"] == "en"
    post(browser, "/preferences", {"language": "zh", "theme": "dark", "next": "/model"})
    page = browser.get("/cases")
    assert '<html lang="zh-Hans" data-theme="dark">' in page.text
    assert "工作列表" in page.text
    elsewhere = site.logged_in("boss")  # the user's language follows to another browser
    assert elsewhere.get("/cases").headers["content-language"] == "zh-Hans"
    assert site.browser().get("/log-in", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).text.count("登录") >= 2

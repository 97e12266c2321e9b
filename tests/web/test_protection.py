"""What stands in front of every page: headers, host names, sizes, and when the pages may be served at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import SettingsError
from config.settings import WebSettings, load_settings
from node.web.address import address_of
from node.web.app import PAGES
from node.web.protection import MAX_BODY_BYTES, host_is_known
from node.web.server import check_exposure
from tests.web.conftest import Site, csrf, make_case

ANYWHERE = "0.0.0.0"  # noqa: S104 - a setting under test


def test_every_response_carries_the_headers(site: Site) -> None:
    make_case(site)
    paths = [path for path, method, _, _ in PAGES if method == "GET" and "{" not in path and not path.endswith(".svg")]
    for path in [*paths, "/cases/1.2.3", "/no-such-page", "/static/style.css", "/log-in", "/events-not"]:
        headers = site.browser().get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'", path
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] == "same-origin", path
        assert headers["cross-origin-opener-policy"] == "same-origin", path
        assert headers["cache-control"] == "no-store", path
        assert "strict-transport-security" not in headers, path  # without TLS it would mean nothing


def test_with_tls_the_cookie_is_secure_and_transport_strict(make_site: Callable[..., Site]) -> None:
    site = make_site('[web]\ntls = { certificate = "web.pem", private_key = "web.key" }\n')
    answer = site.browser().get("/cases")
    assert "max-age=" in answer.headers["strict-transport-security"]
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-cptdn=")
    assert "Secure" in cookie


def test_no_page_holds_an_inline_script_style_or_handler(site: Site) -> None:
    make_case(site)
    for path in ("/cases", "/cases/1.2.3", "/calculator", "/model", "/deliveries", "/status", "/users", "/log-in"):
        text = site.browser().get(path).text
        assert "<script>" not in text, path
        assert "<style" not in text, path
        assert " style=" not in text, path
        assert " onclick=" not in text, path
        assert "http://" not in text.replace("http://www.w3.org", ""), path
        assert "https://" not in text, path


@pytest.mark.parametrize(
    ("host", "bind", "hosts", "known"),
    [
        ("127.0.0.1:8042", "127.0.0.1", (), True), ("localhost", "127.0.0.1", (), True),
        ("[::1]:8042", "127.0.0.1", (), True),
        ("evil.example", "127.0.0.1", (), False), ("192.0.2.1", "127.0.0.1", (), False), ("", "127.0.0.1", (), False),
        ("node.hospital", ANYWHERE, (), False), ("node.hospital:8042", ANYWHERE, ("node.hospital",), True),
        ("NODE.Hospital.", ANYWHERE, ("node.hospital",), True), ("192.0.2.1:8042", ANYWHERE, (), True),
        ("192.0.2.1", "192.0.2.1", (), True), ("127.0.0.1.evil.example", "127.0.0.1", (), False),
    ],
)  # fmt: skip
def test_only_our_names_are_answered(host: str, bind: str, hosts: tuple[str, ...], known: bool) -> None:
    assert host_is_known(host, WebSettings(bind=bind, hosts=hosts)) is known


def test_a_foreign_name_that_leads_here_is_refused(site: Site) -> None:
    answer = site.browser().get("/cases", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert "[web] hosts" in answer.text


def test_too_large_requests_are_refused_announced_or_not(site: Site) -> None:
    browser = site.browser()
    token = csrf(browser.get("/cases").text)
    big = "x" * (MAX_BODY_BYTES + 1)
    assert browser.post("/users", data={"csrf": token, "name": big}).status_code == 413

    def unannounced() -> Any:
        yield f"csrf={token}&name=".encode()
        for _ in range(20):
            yield b"x" * (MAX_BODY_BYTES // 16)

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.post("/users", content=unannounced(), headers=form).status_code == 413


@pytest.mark.parametrize(
    ("extra", "users", "said"),
    [
        ('bind = "0.0.0.0"', True, "needs [web] tls"),
        ('bind = "::"\ntls = { certificate = "a", private_key = "b" }', False, "needs a user"),
        (
            'bind = "192.0.2.1"\ntls = { certificate = "a", private_key = "b" }\n[fhir]\nreceive = true', True,
            "needs [fhir] receive_token",
        ),
    ],
)  # fmt: skip
def test_what_others_reach_needs_users_and_tls(tmp_path: Path, extra: str, users: bool, said: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f"[web]\n{extra}\n")
    with pytest.raises(SettingsError) as refused:
        check_exposure(load_settings(config), users)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_neither(tmp_path: Path, bind: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[web]\nbind = "{bind}"\n[fhir]\nreceive = true\n')
    check_exposure(load_settings(config), users=False)
    assert address_of(load_settings(config)).startswith("http://")


def test_the_command_refuses_with_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[web]\nbind = "0.0.0.0"\n')
    program = Path(sys.executable).with_name("cptdn")
    done = subprocess.run(
        [str(program), "web", "--config", str(config)], capture_output=True, text=True, timeout=120, check=False,
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "reached from other machines" in done.stderr

"""Mutated HTTP requests against the pages: an answer that is no server error, and nothing is left behind."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from config.settings import load_settings
from node.ledger.accounts import add_user
from node.ledger.cases import open_case
from node.ledger.database import open_ledger
from node.web.app import PAGES
from node.web.passwords import hash_password
from tests.flow.program import free_port, wait_for
from tests.fuzz.mutations import WORST_TEXT, mutated
from tests.fuzz.range import Victim
from tests.peers import PROJECT

WAITS_S = 1.0  # after so long a request is taken for one that the server wants more of
NAME, PASSWORD = "fuzz", "a short sentence"
STUDY = "1.2.3"
GOOD = {
    "{study}": STUDY, "{series}": "1.2.3.1", "{revision}": "1", "{job}": "none", "{delivery:int}": "7", "{name}": NAME,
}  # fmt: skip
FHIR = (
    b'{"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": '
    b'"82161-1"}]}, "subject": {"identifier": {"value": "P-1"}}, "effectiveDateTime": "2026-05-02T08:00:00Z", '
    b'"valueQuantity": {"value": 5200, "unit": "{copies}/mL"}}'
)


@dataclass(frozen=True)
class Request:
    """What a browser would send. body : None for GET."""

    path: str
    body: bytes | None = None
    kind: str = "application/x-www-form-urlencoded"

    def encoded(self, cookie: str, port: int) -> bytes:
        lines = [f"{'GET' if self.body is None else 'POST'} ".encode() + self.path.encode("latin-1") + b" HTTP/1.1"]
        lines += [f"Host: 127.0.0.1:{port}".encode(), b"Connection: close", f"Cookie: {cookie}".encode()]
        if self.body is not None:
            lines += [f"Content-Type: {self.kind}".encode(), f"Content-Length: {len(self.body)}".encode()]
        return b"\r\n".join([*lines, b"", self.body or b""])


class Forms(HTMLParser):
    """The forms of a page, filled in as they stand."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "form" and (told.get("method") or "").lower() == "post":
            self.found.append((told.get("action") or "/", {}))
        elif tag in ("input", "select", "textarea", "button") and self.found and told.get("name"):
            self.found[-1][1][str(told["name"])] = told.get("value") or "1"


@contextmanager
def pages(folder: Path) -> Iterator[tuple[Victim, int]]:
    """`cptdn web` with one user and one case; it answers on the port."""
    (folder / "work").mkdir(parents=True)
    root, port = folder / "root", free_port()
    config = folder / "work" / "cptdn.toml"
    config.write_text(f'[storage]\nroot = "{root}"\nmin_free_gb = 0\n[web]\nport = {port}\n[fhir]\nreceive = true\n')
    settings = load_settings(config)
    ledger = open_ledger(settings.ledger.url or "")
    with ledger.begin() as session:
        add_user(session, NAME, hash_password(PASSWORD), "admin")
        open_case(session, STUDY, "P-1", "")
    ledger.close()
    log = folder / "victim.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("cptdn")), "web", "--config", str(config)], cwd=folder / "work",
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
    try:
        wait_for(lambda: answers(port) or process.poll() is not None, 60, log.read_text)
        yield Victim(process, folder, log, 0, 0), port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/log-in", timeout=30, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def log_in(port: int) -> str:
    """A session's cookie."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as browser:
        token = re.search(r'name="csrf" value="([0-9a-f]{64})"', browser.get("/log-in").text)
        assert token is not None
        done = browser.post("/log-in", data={"name": NAME, "password": PASSWORD, "csrf": token[1]})
        assert done.status_code == 303
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def good_requests(port: int, cookie: str) -> list[Request]:
    """Every page, every form that stands on one, and what a laboratory would post. Leaving and closing are left out."""
    found, forms = [Request("/fhir", FHIR, "application/fhir+json")], Forms()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as browser:
        for path, method, _, _ in PAGES:
            if method == "GET":
                for name, value in GOOD.items():
                    path = path.replace(name, value)
                found.append(Request(f"{path}?page=1&state=waiting&search=P-1&age=44&ebv_dna=5200&language=en"))
                forms.feed(browser.get(path, headers={"Cookie": cookie}).text)
    ends = ("/log-out", f"/users/{NAME}/remove", f"/users/{NAME}", "/account")
    found += [Request(path, urlencode(values).encode()) for path, values in forms.found if path not in ends]
    assert len([one for one in found if one.body]) > 5, "expected forms on the pages"
    return found


def damaged(request: Request, rng: random.Random, other: Request, cookie: str, port: int) -> bytes:
    """The request with damage in its path, its body, a field, or anywhere."""
    if rng.random() < 0.2:
        return mutated(request.encoded(cookie, port), rng, other.encoded(cookie, port))
    path, body = request.path, request.body
    if body is None or rng.random() < 0.3:
        if rng.random() < 0.5:
            path = "/" + quote(mutated(path.encode(), rng, other.path.encode()).lstrip(b"/"), safe="/?&=%.")
        else:
            parts = path.split("/")
            parts[rng.randrange(1, len(parts))] = quote(rng.choice(WORST_TEXT), safe="")
            path = "/".join(parts)
    elif rng.random() < 0.5:
        body = mutated(body, rng, other.body or b"")
    else:
        pairs = body.split(b"&")
        at = rng.randrange(len(pairs))
        pairs[at] = pairs[at].split(b"=")[0] + b"=" + quote(rng.choice(WORST_TEXT)).encode()
        body = b"&".join(pairs)
    return Request(path, body, request.kind).encoded(cookie, port)


def ask(port: int, sent: bytes) -> bytes:
    """What comes back until the server closes; one that waits for more is told that there is none.

    Raises TimeoutError when it does not close then.
    """
    received, waited = b"", False
    try:
        with socket.create_connection(("127.0.0.1", port), WAITS_S) as connection:
            connection.sendall(sent)
            while True:
                try:
                    piece = connection.recv(65536)
                except TimeoutError:
                    if waited:
                        raise
                    waited = True
                    connection.settimeout(60)
                    connection.shutdown(socket.SHUT_WR)
                    continue
                if not piece:
                    return received
                received += piece
    except ConnectionError:
        return received


def barrage(target: Victim, port: int, n: int, seed: int) -> dict[str, float]:
    cookie = log_in(port)
    good = good_requests(port, cookie)
    for request in good:
        assert not ask(port, request.encoded(cookie, port)).startswith(b"HTTP/1.1 500"), request
    threads, descriptors = target.threads(), target.descriptors()
    statuses: dict[str, int] = {}
    begun, warm = time.monotonic(), 0.0
    for number in range(n):
        rng = random.Random(seed + number)
        sent = damaged(rng.choice(good), rng, rng.choice(good), cookie, port)
        try:
            answer = ask(port, sent)
        except TimeoutError as error:
            raise AssertionError(f"seed {seed + number}: no answer to {sent[:300]!r}") from error
        status = answer[9:12].decode("latin-1")
        assert not status.startswith("500"), f"seed {seed + number}: a server error for {sent[:300]!r}"
        statuses[status] = statuses.get(status, 0) + 1
        if number == n // 5:
            warm = target.rss_mb()
    check_unharmed(target, port, threads, descriptors)
    print(f"\nfuzzing the pages: {n} requests, {statuses}")
    return {
        "answered": sum(count for status, count in statuses.items() if status), "rss_warm_mb": round(warm, 1),
        "rss_end_mb": round(target.rss_mb(), 1), "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def check_unharmed(target: Victim, port: int, threads: int, descriptors: int) -> None:
    """It answers as before; no thread, descriptor or file is left; nothing was raised unhandled."""
    assert answers(port)
    # Views run in threads that stay, at most 40 of them (anyio's own limit).
    wait_for(lambda: target.threads() <= threads + 40, 60, lambda: f"{target.threads()} threads, {threads} before")
    wait_for(
        lambda: target.descriptors() <= descriptors + 8, 60, lambda: f"{target.descriptors()}, {descriptors} before"
    )
    said = target.log.read_text(errors="replace")
    for bad in ("Traceback", "MemoryError"):
        assert bad not in said, said[max(0, said.index(bad) - 500) : said.index(bad) + 2500]
    assert {path.name for path in target.folder.iterdir()} == {"root", "work", "victim.log"}
    assert [path.name for path in (target.folder / "work").iterdir()] == ["cptdn.toml"]


def test_mutated_requests(tmp_path: Path) -> None:
    with pages(tmp_path / "victim") as (target, port):
        found = barrage(target, port, 300, seed=1)
    assert found["answered"] > 200


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_thousand_mutated_requests(tmp_path: Path) -> None:
    with pages(tmp_path / "victim") as (target, port):
        found = barrage(target, port, 10_000, seed=1_000_000)
    print(f"fuzzing the pages: {found}")
    assert found["rss_end_mb"] < found["rss_warm_mb"] + 64

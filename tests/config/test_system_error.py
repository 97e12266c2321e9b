"""Errors of the operating system as messages, the English ones as `strerror` has them."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from config.messages.catalogue import CATALOGUE
from config.system_error import reason_of


def test_the_english_texts_are_those_of_the_system() -> None:
    named = [key.partition(".")[2] for key in CATALOGUE if key.startswith("system_error.E")]
    assert {name: os.strerror(getattr(errno, name)) for name in named} == {
        name: CATALOGUE[f"system_error.{name}"][0] for name in named
    }


def test_the_cause_of_an_error_of_a_library_is_named() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    outer = RuntimeError("all attempts failed")
    outer.__cause__ = refused
    assert reason_of(refused) == reason_of(outer) == "Connection refused"
    assert reason_of(outer).render("zh") == "连接被拒绝"  # type: ignore[attr-defined]


def test_numbers_of_openssl_and_of_the_resolver_are_not_taken_for_those_of_the_system() -> None:
    # 1 is EPERM as well: found with a receiver of HL7 that has another certificate.
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "self-signed certificate"
    assert reason_of(refused) == "certificate verify failed: self-signed certificate"
    assert reason_of(ssl.SSLError(1, "wrong version number")) == "wrong version number"
    assert reason_of(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"


def test_another_error_says_what_it_says_or_its_type() -> None:
    assert reason_of(ValueError("no number")) == "no number"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(TimeoutError()) == "Connection timed out"

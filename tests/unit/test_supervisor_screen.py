"""What the supervisor prints."""

import io

import pytest

from pegel.cli.supervisor.screen import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO) -> list[str]:
    screen = Screen(out)
    screen.child("ingest", "ready")
    screen.child("alerter", "PAGE cash-withdrawals: too many")
    screen.done("log in data/log", 1.25)
    return out.getvalue().splitlines()


def test_lines_have_their_service_before_them_and_steps_their_seconds() -> None:
    assert shown(io.StringIO()) == [
        "ingest    | ready",
        "alerter   | PAGE cash-withdrawals: too many",
        "log in data/log" + " " * 43 + "     1.2 s",
    ]


def test_in_a_terminal_services_have_colours_and_pages_stand_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    first, page, step = shown(Terminal())
    assert first == "\x1b[36mingest    |\x1b[0m ready"
    assert page.endswith(" \x1b[1;97;41mPAGE cash-withdrawals: too many\x1b[0m")
    assert "\x1b" not in step


def test_no_colours_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(Terminal()) == shown(io.StringIO())

"""What is vendored is what it is said to be, and the script asks for nothing that the policy forbids."""

import hashlib
import json
import re
from importlib import resources

from pegel.dashboard.http.files import TYPES, read_static

FOLDER = resources.files("pegel.dashboard.http") / "static"


def test_what_is_vendored_has_the_noted_content_and_licence() -> None:
    noted = json.loads((FOLDER / "VENDORED.json").read_text("utf-8"))
    assert set(noted) == {"htmx.min.js", "htmx.LICENSE.txt"}
    for name, note in noted.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == note["sha256"], name
    assert f'version:"{noted["htmx.min.js"]["version"]}"' in (FOLDER / "htmx.min.js").read_text("utf-8")


def test_every_file_there_is_served_or_says_what_is() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TYPES) | {"VENDORED.json"}


def test_templates_carry_nothing_that_the_policy_forbids() -> None:
    templates = resources.files("pegel.dashboard.http") / "templates"
    for template in templates.iterdir():
        text = template.read_text("utf-8")
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|hx-on|hx-vals=.js:|javascript:", text), template.name
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), template.name
        assert not re.search(r"(?:src|href)=.https?:", text), template.name


def test_a_hash_in_the_address_is_of_the_content() -> None:
    for file in read_static().values():
        assert file.sha256 == hashlib.sha256(file.content).hexdigest()

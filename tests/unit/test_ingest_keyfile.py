"""The key of the pseudonyms: named, or made once beside the embedded log, and never on one that others share."""

import stat
from pathlib import Path

import pytest

from pegel.ingest.adapters.keyfile import pseudonym_key
from pegel.runtime.settings import ConfigurationError, load


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = load({}, data_dir=tmp_path / "data")
    key = pseudonym_key(settings)
    assert len(key) == 64
    assert pseudonym_key(settings) == key
    (made,) = (tmp_path / "data").iterdir()
    assert (made.name, stat.S_IMODE(made.stat().st_mode)) == ("pseudonym.key", 0o600)


def test_the_file_that_is_named_counts(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 32 + "\n")
    settings = load({}, data_dir=tmp_path / "data", pseudonym_key_file=file, log_url="kafka://127.0.0.1:9092/p")
    assert pseudonym_key(settings) == b"k" * 32
    assert not (tmp_path / "data").exists()


def test_a_log_that_others_share_needs_a_key_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PEGEL_PSEUDONYM_KEY_FILE is not set"):
        pseudonym_key(
            load({}, data_dir=tmp_path, log_url="kafka://a:9092/p", host="0.0.0.0", tokens_file=tmp_path)  # noqa: S104
        )


def test_a_trial_on_one_machine_makes_its_own(tmp_path: Path) -> None:
    settings = load({}, data_dir=tmp_path, log_url="kafka://127.0.0.1:9092/p")
    assert pseudonym_key(settings) == pseudonym_key(settings)


@pytest.mark.parametrize(("content", "why"), [(None, "can't be read"), ("short", "holds 5 bytes")])
def test_a_key_that_is_no_key_stops_the_start(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        pseudonym_key(load({}, pseudonym_key_file=file))
    (fault,) = raised.value.faults
    assert f"PEGEL_PSEUDONYM_KEY_FILE={file}" in fault
    assert why in fault


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigurationError, match="PEGEL_DATA_DIR="):
        pseudonym_key(load({}, data_dir=tmp_path / "data"))

"""`make test-all` lets no test be left out."""

import os
import subprocess
import sys
from pathlib import Path

from support.drift import ROOT

SKIPS = {
    "in_test": "import pytest\ndef test_it(): pytest.skip('no server')\n",
    "in_file": "import pytest\npytest.importorskip('not_there', reason='no server')\ndef test_it(): pass\n",
    "in_fixture": "import pytest\n@pytest.fixture\ndef server(): pytest.skip('no server')\ndef test_it(server): pass\n",
}


def run_skipping_tests(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    for name, text in SKIPS.items():
        (folder / f"test_{name}.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    arguments = ["-m", "pytest", "-p", "support.no_skips", "--continue-on-collection-errors", *options, str(folder)]
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_skips_are_no_failures_by_themselves(tmp_path: Path) -> None:
    done = run_skipping_tests(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "3 skipped" in done.stdout


def test_every_skip_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    done = run_skipping_tests(tmp_path, "--no-skips")
    assert done.returncode == 1, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
    assert "1 failed, 2 errors" in done.stdout
    assert done.stdout.count("no server (a skip is a failure under --no-skips)") >= 3

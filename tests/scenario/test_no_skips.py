"""`make test-all` lets no test be left out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.drift import ROOT

SKIPS = {
    "test": "import pytest\ndef test_it():\n    pytest.skip('no server')\n",
    "file": "import pytest\npytest.importorskip('a_module_that_is_not_there', reason='no server')\ndef test_it(): pass\n",
    "fixture": "import pytest\n@pytest.fixture\ndef server(): pytest.skip('no server')\ndef test_it(server): pass\n",
}


@pytest.mark.parametrize("kind", sorted(SKIPS))
@pytest.mark.parametrize("option", ["", "--no-skips"])
def test_a_skip_is_a_failure_where_it_is_asked_for(tmp_path: Path, kind: str, option: str) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPS[kind])
    arguments = [sys.executable, "-m", "pytest", "-p", "support.no_skips", *filter(None, [option]), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "no server" in done.stdout or not option
    assert ("1 skipped" in done.stdout) == (not option), done.stdout
    assert (done.returncode in {0, 5}) == (not option), done.stdout

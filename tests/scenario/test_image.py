"""The image's install lines, run as commands: there is no container engine here, so a scratch folder is the image."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Final

import pytest

from support.drift import ROOT

DOCKERFILE: Final = (ROOT / "deploy/Dockerfile").read_text("utf-8")


def build_context(folder: Path) -> None:
    """What .dockerignore lets into the build, of the files that git knows."""
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    taken = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *taken]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)


@pytest.mark.server  # fetches what the lock names
@pytest.mark.timeout(420)
def test_the_install_lines_make_an_installation_that_starts(tmp_path: Path) -> None:
    source, target = tmp_path / "src", tmp_path / "opt/pegel"
    build_context(source)
    lines = [line for line in re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE) if "install.sh" in line]
    assert len(lines) == 1
    command = lines[0].replace("/opt/pegel", shlex.quote(str(target))).replace("/src", shlex.quote(str(source)))
    done = subprocess.run(command, shell=True, cwd="/", capture_output=True, text=True, check=False)  # noqa: S602
    assert done.returncode == 0, done.stdout + done.stderr
    # The first stage is gone in the image: what is installed must stand without it.
    source.rename(tmp_path / "gone")
    command_line = target / "bin/pegel"
    shown = subprocess.run([command_line, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "serve" in shown.stdout
    everything = "import pegel.ingest.app, pegel.detector.app, pegel.alerter.app, pegel.dashboard.app"
    imported = subprocess.run(
        [target / "bin/python", "-c", everything], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert imported.returncode == 0, imported.stderr


def test_the_second_stage_runs_what_the_first_installed_as_nobody_special() -> None:
    assert "COPY --from=build /opt/pegel /opt/pegel" in DOCKERFILE
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1, "a virtual environment only works with the Python it was made with"

"""What is installed is what is in the tree, and it starts anywhere."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.drift import ROOT


def modules_in_tree() -> set[str]:
    """Every file below a source root's folder `pegel`, as the wheel names it."""
    roots = [ROOT / "schemas", ROOT / "libs", *sorted((ROOT / "services").iterdir())]
    files = [(path, root) for root in roots for path in (root / "pegel").rglob("*") if path.is_file()]
    return {str(path.relative_to(root)) for path, root in files if "__pycache__" not in path.parts}


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_wheel_holds_what_the_tree_holds(tmp_path: Path) -> None:
    built = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT), cwd=tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == modules_in_tree()


@pytest.mark.parametrize("command", [["-m", "pegel"], [str(Path(sys.executable).with_name("pegel"))]])
def test_it_starts_beside_modules_of_the_same_names(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "schemas.py").write_text("raise RuntimeError('the wrong schemas')\n")
    for name in ("services", "libs", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    started = python(*command, "--help", cwd=tmp_path)
    assert started.returncode == 0, started.stderr
    assert "serve" in started.stdout


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pegel.cli.app import main\n"
        "sys.argv = ['pegel', '--help']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'numpy', 'scipy', 'river', 'sqlalchemy', 'polars', 'altair', 'fastapi', 'aiokafka', 'pydantic'}\n"
        "    print('heavy:', sorted(heavy & sys.modules.keys()))\n"
    )
    shown = python("-c", script, cwd=tmp_path)
    assert "heavy: []" in shown.stdout, shown.stdout + shown.stderr

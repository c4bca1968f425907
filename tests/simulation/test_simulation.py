"""Pegel under bad luck: its pipelines on virtual time, and a log in memory that delays, loses, repeats and moves them.

A seed decides what is sent, what fails and who runs when; what must hold afterwards is told by code that shares nothing
with the services (support.simulation.oracle).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.simulation.mutants import FOUND_BY, MUTANTS, SHOWN_UNDER
from support.simulation.run import simulate
from support.simulation.world import Faults

TESTS = Path(__file__).parents[1]
MUTANT_SEEDS = 60
"""A planted bug shows where its seed brings it to light: the rarest needs a zombie that is ahead of who took over."""
pytestmark = pytest.mark.timeout(120)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """As many seeds as --seeds says."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(1, metafunc.config.getoption("--seeds") + 1))


def test_nothing_is_lost_and_nothing_is_twice(seed: int) -> None:
    result = simulate(seed)
    again = f"PYTHONPATH=tests .venv/bin/python -m support.simulation --seed {seed} -v"
    assert not result.violations, "\n".join([*result.violations, "", f"This repeats it: {again}"])


def test_a_seed_happens_the_same_way_in_every_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "support.simulation", "--seed", "3"],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "7"},
        text=True,
        capture_output=True,
        check=True,
    )
    assert f"digest {simulate(3).digest}\n" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_planted_bug_is_found(mutant: str) -> None:
    needed = SHOWN_UNDER.get(mutant)
    for seed in range(1, MUTANT_SEEDS + 1):
        if needed is not None and not getattr(Faults.drawn(seed), needed):
            continue
        with MUTANTS[mutant]():
            result = simulate(seed)
        if any(FOUND_BY[mutant] in violation for violation in result.violations):
            return
    pytest.fail(f"{mutant} was not found in {MUTANT_SEEDS} seeds")

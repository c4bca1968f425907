"""A pytest plug-in: --seeds N says how many seeds are simulated (make test-all: 200)."""

import pytest

FEW = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=FEW, help="seeds to simulate in tests/simulation")

"""`pegel settings`: every setting, its value in this environment, its default, and what it is for."""

import json
import os
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from pegel.runtime.settings import PREFIX, Settings


def show(settings: Settings, *, as_json: bool) -> int:
    """Print the table; secrets are shown as stars."""
    values = {PREFIX + name.upper(): getattr(settings, name) for name in Settings.model_fields}
    if as_json:
        print(json.dumps({name: _plain(value) for name, value in values.items()}))
        return 0
    table = Table("variable", "value", "from", "what it is for", box=None, pad_edge=False, header_style="bold")
    for (variable, value), field in zip(values.items(), Settings.model_fields.values(), strict=True):
        given = variable in os.environ
        table.add_row(
            variable,
            _text(value),
            "environment" if given else "default",
            field.description or "",
            style="bold" if given else None,
        )
    console = Console()
    if not console.is_terminal:  # piped into grep or a file: a line a setting, whatever its length
        console.width = 400
    console.print(table)
    return 0


def _plain(value: object) -> object:
    return str(value) if isinstance(value, SecretStr | Path) else value


def _text(value: object) -> str:
    return "" if value is None else str(value)

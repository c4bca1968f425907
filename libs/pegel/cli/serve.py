"""`pegel serve`: builds the services that are asked for and serves them in one process."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Literal, cast

from pegel.runtime import logs
from pegel.runtime.serve import Service, serve
from pegel.runtime.settings import Settings

Half = Literal["counter", "judge"]


def build(name: str, settings: Settings, only: str | None) -> Service:
    """One service. Its modules are imported here and nowhere else: ingest needs neither numpy nor SQLAlchemy."""
    module = import_module(f"pegel.{name}.app")
    if name == "detector":
        build_detector = cast("Callable[[Settings, Half | None], Service]", module.build)
        return build_detector(settings, cast("Half | None", only))
    return cast("Callable[[Settings], Service]", module.build)(settings)


def serve_named(settings: Settings, names: Sequence[str], only: str | None, *, end_with_stdin: bool) -> int:
    """Serve until a signal or a failure; returns the exit code. Raises ConfigurationError."""
    label = only or (names[0] if len(names) == 1 else "pegel")
    logs.configure(label, form=settings.log_format, level=settings.log_level)
    services = [build(name, settings, only) for name in names]
    return serve(services, settings, end_with_stdin=end_with_stdin)

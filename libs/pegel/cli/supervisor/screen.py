"""What the supervisor prints: steps with their seconds, the children's lines with their name before them, pages."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

WIDTH: Final = 58
"""Of a step's text; the same as in deploy/install.sh, whose lines stand above ours after `make run`."""

COLOURS: Final = (36, 32, 35, 34, 33, 31)
PAGE: Final = "1;97;41"
STRONG: Final = "1"


class Screen:
    """Lines of several processes on one output. Colours only in a terminal (and not where NO_COLOR is set)."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self.terminal = self._out.isatty()
        self._coloured = self.terminal and not os.environ.get("NO_COLOR")
        self._colour_of: dict[str, int] = {}
        self.on_closed: Callable[[], None] = lambda: None
        """Called when nobody reads the output any more (`pegel run | head`)."""

    def line(self, text: str = "") -> None:
        try:
            self._out.write(text + "\n")
            self._out.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())  # what is still to be flushed goes there
            self.on_closed()

    def strong(self, text: str) -> None:
        self.line(self._painted(text, STRONG))

    def done(self, text: str, seconds: float) -> None:
        """A step that is done."""
        self.line(f"{text:<{WIDTH}} {seconds:7.1f} s")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Prints one line with the step's seconds once it is done; nothing when it fails."""
        began = time.monotonic()
        yield
        self.done(text, time.monotonic() - began)

    def child(self, name: str, text: str) -> None:
        """A line of a child; a page (the alerter's line beginning with PAGE) stands out."""
        colour = self._colour_of.setdefault(name, COLOURS[len(self._colour_of) % len(COLOURS)])
        prefix = self._painted(f"{name:<9} |", str(colour))
        self.line(f"{prefix} {self._painted(text, PAGE) if text.startswith('PAGE') else text}")

    def _painted(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._coloured else text

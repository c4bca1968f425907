"""An estimator as a tree of plain values (pegel.detector.state), and back: what a pickle would do, but no code runs.

The objects behind an estimator are nodes, numbered in the order in which they are met, so what is shared stays shared.
An object is made by its class's __new__ alone, and only classes of the packages named are: river's, and the estimator's
own. What can't be told so (a function, an open file, a class of elsewhere) is refused when it is told, by its name.
"""

import functools
import importlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pegel.detector.judge.domain.models.named import UnfitEstimatorError

PLAIN: Final = frozenset({bool, int, float, str, bytes, type(None)})
VALUES: Final = {float, int, list, dict, tuple, set, str, bool}
"""Classes of Python's own that may stand in a state, as what makes a missing value does."""
NATIVE: Final = "river._river_rust."
"""river's compiled classes: what they hold is bytes that they read themselves, or what they are made of."""
MAPPINGS: Final[dict[str, type[Any]]] = {"dict": dict, "counter": Counter, "ordered": OrderedDict}
SEQUENCES: Final[dict[str, type[Any]]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
OTHERS: Final[dict[str, Any]] = {"list": list, "deque": deque, "default": defaultdict, "partial": functools.partial}
_KINDS: Final = {kind: name for name, kind in (MAPPINGS | SEQUENCES | OTHERS).items()}
GENERATOR: Final = "random:Random"
"""Where an estimator's own generator of numbers stands is state like any other."""


def told(thing: object, packages: Sequence[str]) -> list[Any]:
    """The nodes of what hangs on a thing. Raises UnfitEstimatorError, which names what can't be told."""
    return _Telling(packages).all(thing)


def made(nodes: Sequence[Any], packages: Sequence[str]) -> Any:
    """The thing anew. Raises KeyError, TypeError, ValueError, IndexError for nodes that `told` did not give."""
    return _Making(nodes, packages).value([0])


class _Telling:
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = tuple(packages)
        self._numbers: dict[int, int] = {}
        self._nodes: list[Any] = []
        self._met: list[object] = []
        """Kept, so that no id is used twice."""
        self._ordinary: dict[type, tuple[str, tuple[str, ...]]] = {}
        """Classes whose objects are their attributes and no more: path and slots."""
        self._shapes: dict[tuple[str, ...], int] = {}

    def all(self, thing: object) -> list[Any]:
        self._ref(thing)
        return self._nodes

    def _ref(self, thing: Any) -> Any:
        """A plain value as it is; a node by its number, in a tuple of one."""
        if type(thing) in PLAIN:
            return thing
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self._nodes)
            self._met.append(thing)
            self._nodes.append(None)
            self._nodes[number] = self._node(thing)
        return (number,)

    def _node(self, thing: Any) -> list[Any]:
        if (ordinary := self._ordinary.get(type(thing))) is not None:
            return self._object(thing, *ordinary)
        ref, name = self._ref, _KINDS.get(type(thing), "")
        if name in MAPPINGS:
            node = [name, [[ref(key), ref(value)] for key, value in thing.items()]]
        elif name == "default":
            node = [name, ref(thing.default_factory), [[ref(key), ref(value)] for key, value in thing.items()]]
        elif name == "deque":
            node = [name, thing.maxlen, [ref(item) for item in thing]]
        elif name.endswith("set"):
            # It has no order of its own: two processes would tell it differently.
            node = [name, [ref(item) for item in sorted(thing, key=repr)]]
        elif name == "partial":
            node = [name, ref(thing.func), [ref(item) for item in thing.args]]
        elif name:
            node = [name, [ref(item) for item in thing]]
        else:
            node = self._thing(thing)
        return node

    def _thing(self, thing: Any) -> list[Any]:
        if isinstance(thing, np.ndarray | np.generic) and thing.dtype.kind in "biuf":
            return ["array", np.asarray(thing).copy(), isinstance(thing, np.generic)]
        if isinstance(thing, type):
            return ["class", self._path(thing)]
        if _path(type(thing)).startswith((NATIVE, GENERATOR)):
            return self._native(thing, _path(type(thing)))
        path = self._path(type(thing))
        return self._of_class(thing, path, _slots(type(thing)))

    def _of_class(self, thing: Any, path: str, slots: tuple[str, ...]) -> list[Any]:
        if isinstance(thing, deque):  # of a class that is one, as HoltWinters' parts are
            items = [self._ref(item) for item in deque.__iter__(thing)]
            return [*self._object(thing, path, slots), "deque", thing.maxlen, items]
        if isinstance(thing, dict):
            pairs = [[self._ref(key), self._ref(value)] for key, value in dict.items(thing)]
            return [*self._object(thing, path, slots), "dict", pairs]
        if isinstance(thing, list | tuple | set | frozenset | str | int | float):
            raise UnfitEstimatorError(f"its state can't be saved: it holds a {path.replace(':', '.')}")
        self._ordinary[type(thing)] = path, slots
        return self._object(thing, path, slots)

    def _object(self, thing: Any, path: str, slots: tuple[str, ...]) -> list[Any]:
        own = getattr(thing, "__dict__", {})
        there = tuple([name for name in slots if hasattr(thing, name)]) if slots else ()
        values = [*own.values(), *[getattr(thing, name) for name in there]]
        ref = self._ref
        told_values = [value if type(value) in PLAIN else ref(value) for value in values]
        return ["object", self._shape(path, tuple(own), there), told_values]

    def _shape(self, path: str, own: tuple[str, ...], slots: tuple[str, ...]) -> int:
        """The node that names the attributes of objects like this: a forest has thousands of them."""
        key = (path, *own, "", *slots)
        number = self._shapes.get(key)
        if number is None:
            number = self._shapes[key] = len(self._nodes)
            self._nodes.append(["shape", path, list(own), list(slots)])
        return number

    def _native(self, thing: Any, path: str) -> list[Any]:
        if path == GENERATOR:
            version, words, left = thing.getstate()
            return ["random", version, np.array(words, dtype=np.uint32), left]
        if hasattr(thing, "__getnewargs__"):
            given, holds = thing.__getnewargs__(), self._ref(thing.__getstate__())
            return ["native", path, [self._ref(item) for item in given], holds]
        _, given = thing.__reduce__()
        return ["native", path, [self._ref(item) for item in given], None]

    def _path(self, kind: type) -> str:
        path = _path(kind)
        ours = kind in VALUES if kind.__module__ == "builtins" else kind.__module__.partition(".")[0] in self._packages
        if not ours:
            raise UnfitEstimatorError(f"its state can't be saved: it holds a {path.replace(':', '.')}")
        return path


def _path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _slots(kind: type) -> tuple[str, ...]:
    names: list[str] = []
    for one in kind.__mro__:
        own = one.__dict__.get("__slots__", ())
        names += (own,) if isinstance(own, str) else own
    return tuple(name for name in names if name[:2] != "__")


class _Making:
    def __init__(self, nodes: Sequence[Any], packages: Sequence[str]) -> None:
        self._nodes, self._packages = nodes, tuple(packages)
        self._made: dict[int, Any] = {}
        self._classes: dict[str, Any] = {}

    def value(self, ref: Any) -> Any:
        if not isinstance(ref, list | tuple):
            return ref
        (number,) = ref
        if number not in self._made:
            self._make(number)
        return self._made[number]

    def _make(self, number: int) -> None:
        """What may hold itself is known before its parts are made."""
        kind, *rest = self._nodes[number]
        value = self.value
        if kind in MAPPINGS or kind == "default":
            mapping = defaultdict(value(rest[0])) if kind == "default" else MAPPINGS[kind]()
            self._made[number] = mapping
            mapping.update({value(key): value(item) for key, item in rest[-1]})
        elif kind == "list":
            self._made[number] = items = list[Any]()
            items.extend(value(item) for item in rest[0])
        elif kind == "deque":
            queue: deque[Any] = deque(maxlen=rest[0])
            self._made[number] = queue
            queue.extend(value(item) for item in rest[1])
        elif kind == "object":
            _, path, own, slots = self._nodes[rest[0]]
            its = self._class(path)
            self._made[number] = thing = its.__new__(its)
            values = [value(item) if isinstance(item, list | tuple) else item for item in rest[1]]
            if own:
                thing.__dict__.update(zip(own, values[: len(own)], strict=True))
            for name, its_value in zip(slots, values[len(own) :], strict=True):
                object.__setattr__(thing, name, its_value)
            if rest[2:3] == ["deque"]:
                deque.__init__(thing, [value(item) for item in rest[4]], rest[3])
            elif rest[2:3] == ["dict"]:
                dict.update(thing, {value(key): value(item) for key, item in rest[3]})
        else:
            self._made[number] = self._immutable(kind, rest)

    def _immutable(self, kind: str, rest: Sequence[Any]) -> Any:
        value = self.value
        if kind in SEQUENCES:
            return SEQUENCES[kind](value(item) for item in rest[0])
        if kind == "partial":
            return functools.partial(value(rest[0]), *(value(item) for item in rest[1]))
        if kind == "random":
            rng = self._class(GENERATOR)()
            rng.setstate((rest[0], tuple(rest[1].tolist()), rest[2]))
            return rng
        if kind == "array":
            array, scalar = rest
            return array[()] if scalar else array
        if kind == "class":
            return self._class(rest[0])
        if kind == "native":
            thing = self._class(rest[0])(*(value(item) for item in rest[1]))
            if rest[2] is not None:
                thing.__setstate__(rest[2])
            return thing
        raise ValueError(f"a node of kind {kind}")

    def _class(self, path: str) -> Any:
        found = self._classes.get(path)
        if found is None:
            found = self._classes[path] = self._found(path)
        return found

    def _found(self, path: str) -> Any:
        module, _, name = path.partition(":")
        if module.partition(".")[0] not in {*self._packages, "builtins"} and path != GENERATOR:
            raise ValueError(f"{path} is of a package that no estimator is of")
        found = functools.reduce(getattr, name.split("."), importlib.import_module(module))
        if not isinstance(found, type) or (module == "builtins" and found not in VALUES):
            raise ValueError(f"{path} is no class of an estimator's")
        return found

"""How the state of counter and judge becomes the bytes of a snapshot, and back.

A state is a tree of plain values and numpy arrays. msgpack holds it, arrays as an extension of their bytes; zstd packs
it: states are mostly zeros and repetitions, and what is random (identities) costs it little.
"""

from typing import Any, Final

import cramjam
import msgspec
import numpy as np

_ARRAY: Final = 1
_LEVEL: Final = 1
_MAGIC: Final = b"PGL1"

Tree = dict[str, Any]
"""Values: dict with str keys, list, tuple, str, int, float, bool, None, bytes, or a numeric numpy array."""


class StateUnreadable(ValueError):  # noqa: N818 (what it is of the bytes)
    """The bytes are no state that this version wrote."""


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        head = msgspec.msgpack.encode((array.dtype.str, array.shape))
        return msgspec.msgpack.Ext(_ARRAY, len(head).to_bytes(2, "little") + head + array.tobytes())
    if isinstance(value, np.integer | np.floating | np.bool_):
        return value.item()
    raise TypeError(f"a state can't hold {type(value).__name__}")


def _array(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise StateUnreadable(f"extension {code} is not known")
    length = int.from_bytes(data[:2], "little")
    dtype, shape = msgspec.msgpack.decode(data[2 : 2 + length], type=tuple[str, tuple[int, ...]])
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise StateUnreadable("an array of objects")
    return np.frombuffer(data, dtype=kind, offset=2 + length).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder = msgspec.msgpack.Decoder(ext_hook=_array)


def encode(tree: Tree) -> bytes:
    """The bytes of a state. Raises TypeError for a value that a state can't hold."""
    return _MAGIC + bytes(cramjam.zstd.compress(_encoder.encode(tree), _LEVEL))


def decode(data: bytes) -> Tree:
    """The state of bytes; tuples come back as lists, arrays writable. Raises StateUnreadable."""
    if data[:4] != _MAGIC:
        raise StateUnreadable("it does not begin as a state does")
    try:
        tree = _decoder.decode(bytes(cramjam.zstd.decompress(data[4:])))
    except (msgspec.DecodeError, cramjam.DecompressionError, TypeError, ValueError) as error:
        raise StateUnreadable(str(error)) from None
    if not isinstance(tree, dict):
        raise StateUnreadable("it is no mapping")
    return tree

"""Headers of a record as bytes, None for none: most records have none."""

import msgspec

Headers = tuple[tuple[str, bytes], ...]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Headers).decode


def pack(headers: Headers) -> bytes | None:
    return _encode(headers) if headers else None


def unpack(packed: bytes | None) -> Headers:
    return _decode(packed) if packed else ()

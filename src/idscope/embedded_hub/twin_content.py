"""Owns the free JSON of twins: how it is merged, stamped and held to the hub's limits.
It must not know which part of a twin it is, nor how a twin is stored.

Values are kept as the bytes they came in (`Raw`); only objects on the path of a change are opened, so `1.10` and
integers of any size survive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from idscope.errors import HubArgumentInvalid, HubTwinTooLarge

KIBIBYTE: Final = 1024
TAGS_LIMIT: Final = 8 * KIBIBYTE  # published, like those below (devguide-device-twins)
PROPERTIES_LIMIT: Final = 32 * KIBIBYTE
MAX_DEPTH: Final = 10
MAX_KEY_BYTES: Final = 1024
MAX_STRING_BYTES: Final = 4096
_NUMBER_SIZE: Final = 8
_BOOLEAN_SIZE: Final = 4

EMPTY: Final = Raw(b"{}")
_NULL: Final = b"null"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's segments C0 and C1
_NOT_IN_KEYS: Final = re.compile(rf"[.$# ]|{_CONTROL.pattern}")  # the live hub refuses "#" too, unpublished (observed)

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_items = msgspec.json.Decoder(list[Raw]).decode
_text = msgspec.json.Decoder(str).decode


def is_object(value: Raw) -> bool:
    return _first_byte(value) == b"{"


def _first_byte(value: Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def is_null(value: Raw) -> bool:
    return bytes(value) == _NULL


def members(value: Raw) -> dict[str, Raw]:
    """The members of an object; raises HubArgumentInvalid where the value is none, or no good JSON."""
    try:
        return _members(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise HubArgumentInvalid("A twin's tags and properties must be JSON objects.") from None


def object_of(values: Mapping[str, Any]) -> Raw:
    return Raw(msgspec.json.encode(values))


def without_system_members(value: Raw) -> Raw:
    """The content without `$metadata` and `$version`, which clients send back as they have read them."""
    given = members(value)
    kept = {name: one for name, one in given.items() if name not in {"$metadata", "$version"}}
    return value if len(kept) == len(given) else object_of(kept)


def merge(stored: Raw, patch: Raw) -> Raw:
    """The stored object with the patch applied: a null removes a member, an object is merged, all else replaces."""
    result = members(stored)
    for name, value in members(patch).items():
        if is_null(value):
            result.pop(name, None)
        elif is_object(value):
            before = result.get(name)
            result[name] = merge(before, value) if before is not None and is_object(before) else without_nulls(value)
        else:
            result[name] = value
    return object_of(result)


def without_nulls(value: Raw) -> Raw:
    """The object without null members at any depth; the same bytes where there are none."""
    given = members(value)
    kept = {name: without_nulls(one) if is_object(one) else one for name, one in given.items() if not is_null(one)}
    unchanged = len(kept) == len(given) and all(kept[name] is given[name] for name in given)
    return value if unchanged else object_of(kept)


def stamp(metadata: Mapping[str, Any], patch: Raw, mark: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata after a patch: every object on a changed path and every changed value bears the mark."""
    node: dict[str, Any] = {**mark, **{name: one for name, one in metadata.items() if not name.startswith("$")}}
    for name, value in members(patch).items():
        if is_null(value):
            node.pop(name, None)
        elif is_object(value):
            node[name] = stamp(node.get(name, {}), value, mark)
        else:
            node[name] = dict(mark)
    return node


def check_shape(value: Raw) -> Raw:
    """The content, its size still unjudged; raises HubArgumentInvalid for what no twin may hold.

    To be asked before anything else is done with what came from outside: it bounds the depth of everything here.
    """
    _object_size(value, 0)
    return value


def check_content(value: Raw, what: str, limit: int) -> None:
    """Raises HubArgumentInvalid or HubTwinTooLarge where the hub's published limits are passed."""
    if _object_size(value, 0) > limit:
        raise HubTwinTooLarge(f"'{what}' size should be less than {limit} bytes.")


def _object_size(value: Raw, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise HubArgumentInvalid(f"Tags and properties may be nested at most {MAX_DEPTH} levels deep.")
    return sum(_key_size(name) + _size(one, depth + 1) for name, one in members(value).items())


def _size(value: Raw, depth: int) -> int:
    """As published: strings count their UTF-8 bytes without control characters, numbers 8, booleans 4."""
    match _first_byte(value):
        case b"{":
            return _object_size(value, depth)
        case b"[":
            return _array_size(value, depth)
        case b'"':
            return _string_size(value)
        case b"t" | b"f":
            return _BOOLEAN_SIZE
        case b"n":
            return 0
        case _:
            return _NUMBER_SIZE


def _array_size(value: Raw, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise HubArgumentInvalid(f"Tags and properties may be nested at most {MAX_DEPTH} levels deep.")
    return sum(_size(one, depth + 1) for one in _items(value))


def _string_size(value: Raw) -> int:
    try:
        text = _text(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise HubArgumentInvalid("A twin's tags and properties must be valid JSON.") from None
    if len(text.encode()) > MAX_STRING_BYTES:
        raise HubArgumentInvalid(f"Property or Tag value should be maximum {MAX_STRING_BYTES} bytes.")
    return _counted(text)


def _key_size(name: str) -> int:
    if len(name.encode()) > MAX_KEY_BYTES:
        raise HubArgumentInvalid(f"Property or Tag name should be maximum {MAX_KEY_BYTES} bytes.")
    if _NOT_IN_KEYS.search(name):
        raise HubArgumentInvalid(
            f"Property or Tag name has invalid characters. Error in Property/Tag {name}. "
            "Must not contain Control Characters, '.', '$', '#', or ' '."
        )
    return _counted(name)


def _counted(text: str) -> int:
    return len(_CONTROL.sub("", text).encode())

"""Owns what all documents share: how they are declared, decoded and encoded. It must not know any one document.

Absent and null differ: an absent member is `UNSET`, a null one is `None`. Free JSON (twin members, payloads) is
`RawJson`: the bytes as they came, to be handed on byte for byte.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar, dataclass_transform

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from idscope.errors import InvalidArgument, MalformedJson
from idscope.secret import Secret

__all__ = ["UNSET", "Document", "FreeObject", "RawJson", "UnsetType", "decode", "encode", "encode_revealing"]

RawJson = Annotated[Raw, Meta(description="Any JSON value, carried byte for byte")]
FreeObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]

NULL: Final = b"null"
_INVALID_WORD: Final = "Invalid enum value"


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object of the published API: snake_case here, camelCase on the wire, unknown members ignored."""


D = TypeVar("D")


def _decode_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError("Expected `str`")


def _reveal(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"cannot encode {type(value).__name__}")


def decode(body: bytes, kind: type[D]) -> D:
    """The document in a request body.

    Raises MalformedJson where the body is no JSON (or nests too deep), InvalidArgument where a member has the wrong
    type; the message names the member, never its value.
    """
    try:
        body.decode("utf-8")  # msgspec does not look at the text inside what it keeps raw
        return msgspec.json.decode(body, type=kind, dec_hook=_decode_secret)
    except UnicodeDecodeError:
        raise MalformedJson("The request body is not valid UTF-8.") from None
    except RecursionError:
        raise MalformedJson("The request body is nested too deep.") from None
    except msgspec.ValidationError as error:
        _check_json(body)  # the first wrong type ends the decoding, and what follows may be no JSON at all
        raise InvalidArgument(f"Invalid request body: {_without_value(str(error))}") from None
    except msgspec.DecodeError as error:
        raise MalformedJson(f"The request body is not valid JSON: {error}") from None


def _check_json(body: bytes) -> None:
    """Raises MalformedJson."""
    try:
        msgspec.json.decode(body, type=Raw)
    except RecursionError:
        raise MalformedJson("The request body is nested too deep.") from None
    except msgspec.DecodeError as error:
        raise MalformedJson(f"The request body is not valid JSON: {error}") from None


def _without_value(text: str) -> str:
    """The decoder's text; of a word that is none of those allowed it repeats the word, which may be anything."""
    if not text.startswith(_INVALID_WORD):
        return text
    _, at, path = text.rpartition(" - at ")
    return f"{_INVALID_WORD}{at}{path}" if at else _INVALID_WORD


def encode(document: Any) -> bytes:
    """JSON of a document that holds no secret; a `Secret` inside is a TypeError, by design."""
    return msgspec.json.encode(document)


def encode_revealing(document: Any) -> bytes:
    """JSON with secrets in clear: for the answers that hand keys to their owner, and for sealing."""
    return msgspec.json.encode(document, enc_hook=_reveal)


def is_present(value: Any) -> bool:
    """Neither absent nor null (a raw `null` counts as null)."""
    return value is not UNSET and value is not None and not (isinstance(value, Raw) and bytes(value) == NULL)


def given(value: D | UnsetType | None) -> D | None:
    """The value, or None where it is absent or null."""
    return value if is_present(value) else None  # type: ignore[return-value]

"""The free JSON of twins: merged, stamped, and held to the limits of the published devguide-device-twins."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from idscope.embedded_hub import twin_content
from idscope.errors import HubArgumentInvalid, HubTwinTooLarge

names = st.text("abcxyz", min_size=1, max_size=2)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text("ab", max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=4)


def rfc_7396(target: object, patch: object) -> object:
    """The pseudo-code of RFC 7396, section 2: the second implementation."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_7396(result.get(name), value)
    return result


def raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


@given(objects, objects)
def test_merging_is_that_of_rfc_7396(stored: dict[str, object], patch: dict[str, object]) -> None:
    clean = rfc_7396({}, stored)
    assert json.loads(bytes(twin_content.merge(raw(clean), raw(patch)))) == rfc_7396(clean, patch)


@given(objects)
def test_without_nulls_is_a_patch_of_nothing(value: dict[str, object]) -> None:
    assert json.loads(bytes(twin_content.without_nulls(raw(value)))) == rfc_7396({}, value)


def test_values_are_kept_byte_for_byte() -> None:
    merged = twin_content.merge(
        Raw(b'{"kept":1.10,"other":{"big":12345678901234567890123,"gone":1}}'),
        Raw(b'{"other":{"gone":null,"new":[1.0, 2e3 ,{"x" : "\\u0061"}]}}'),
    )
    assert bytes(merged) == (
        b'{"kept":1.10,"other":{"big":12345678901234567890123,"new":[1.0, 2e3 ,{"x" : "\\u0061"}]}}'
    )


def test_content_without_nulls_stays_the_same_bytes() -> None:
    spaced = Raw(b'{ "a" : { "b" : 1.50 } }')
    assert bytes(twin_content.without_nulls(spaced)) == b'{ "a" : { "b" : 1.50 } }'


def test_system_members_are_taken_out_at_the_top_only() -> None:
    given_ = Raw(b'{"a":1,"$metadata":{"a":{}},"$version":7}')
    assert bytes(twin_content.without_system_members(given_)) == b'{"a":1}'


MARK = {"$lastUpdated": "2017-03-09T18:30:52.316724Z", "$lastUpdatedVersion": 2}


def test_metadata_has_the_shape_of_the_published_export() -> None:
    """The published example of an exported twin (iot-hub-bulk-identity-mgmt)."""
    stamped = twin_content.stamp({}, Raw(b'{"Thermostat":{"Temperature":75.1,"Unit":"F"}}'), MARK)
    assert json.dumps(stamped) == json.dumps(
        {**MARK, "Thermostat": {**MARK, "Temperature": MARK, "Unit": MARK}},
    )


def test_metadata_of_untouched_members_stays() -> None:
    old = {"$lastUpdated": "old", "$lastUpdatedVersion": 1}
    before = {**old, "a": {**old, "x": old, "y": old}, "b": old}
    after = twin_content.stamp(before, Raw(b'{"a":{"x":1,"y":null}}'), MARK)
    assert after == {**MARK, "a": {**MARK, "x": MARK}, "b": old}


def nested(depth: int) -> Raw:
    return Raw(b'{"n":' * depth + b'{"property":"value"}' + b"}" * depth)


def test_ten_levels_are_allowed_as_in_the_published_example() -> None:
    twin_content.check_content(nested(10), "Tags", twin_content.TAGS_LIMIT)


@pytest.mark.parametrize("value", [nested(11), Raw(b'{"n":' + b"[" * 11 + b"]" * 11 + b"}")])
def test_eleven_levels_are_refused(value: Raw) -> None:
    with pytest.raises(HubArgumentInvalid):
        twin_content.check_content(value, "Tags", twin_content.TAGS_LIMIT)


@pytest.mark.parametrize("name", ["a.b", "a$", "$a", "a#", "a b", "a\\u0007", "a\\u0085", "k" * 1025])
@pytest.mark.parametrize("template", ['{"%s":1}', '{"ok":{"%s":1}}', '{"ok":[{"%s":1}]}'])
def test_keys_the_hub_refuses(name: str, template: str) -> None:
    with pytest.raises(HubArgumentInvalid):
        twin_content.check_content(Raw((template % name).encode()), "Tags", twin_content.TAGS_LIMIT)


def test_quirk_the_refusal_of_a_key_says_what_the_live_hub_says() -> None:
    """Observed by azure-iot-sdk-java issue 243."""
    with pytest.raises(HubArgumentInvalid) as refusal:
        twin_content.check_content(Raw(b'{"m2(<#a":1}'), "Tags", twin_content.TAGS_LIMIT)
    assert refusal.value.message == (
        "Property or Tag name has invalid characters. Error in Property/Tag m2(<#a. "
        "Must not contain Control Characters, '.', '$', '#', or ' '."
    )


@pytest.mark.parametrize("value", [b"[]", b"1", b'"text"', b"true"])
def test_content_must_be_an_object(value: bytes) -> None:
    with pytest.raises(HubArgumentInvalid):
        twin_content.check_content(Raw(value), "Tags", twin_content.TAGS_LIMIT)


@pytest.mark.parametrize("value", [b'{"a":"\\ud800"}', b'{"\\ud800":1}', b'{"a":["\\ud800x"]}'])
def test_text_that_is_no_unicode_is_refused(value: bytes) -> None:
    with pytest.raises(HubArgumentInvalid):
        twin_content.check_content(Raw(value), "Tags", twin_content.TAGS_LIMIT)


def test_a_string_of_4096_bytes_is_allowed_and_one_more_is_not() -> None:
    twin_content.check_content(raw({"a": "v" * 4096}), "Tags", twin_content.TAGS_LIMIT)
    with pytest.raises(HubArgumentInvalid):
        twin_content.check_content(raw({"a": "v" * 4097}), "Tags", twin_content.TAGS_LIMIT)


def test_sizes_are_counted_as_published() -> None:
    """Key and value: strings by their UTF-8 bytes without control characters, numbers 8 bytes, booleans 4."""
    value = raw({"aa": "é\n", "b": 123456.5, "c": True, "d": {"e": [1, "f"]}})
    size = (2 + 2) + (1 + 8) + (1 + 4) + 1 + (1 + 8 + 1)
    twin_content.check_content(value, "Tags", size)
    with pytest.raises(HubTwinTooLarge) as refusal:
        twin_content.check_content(value, "Tags", size - 1)
    assert (refusal.value.status, refusal.value.code_word) == (403, "DeviceModelMaxPropertiesExceeded")
    assert refusal.value.message == f"'Tags' size should be less than {size - 1} bytes."

"""The SASL layer by itself: who may speak when, what is refused, any bytes cut anywhere. It must not know the front
end."""

from __future__ import annotations

import amqp_frames as amqp
import pytest
from amqp_frames import Frame, Symbol
from hypothesis import example, given
from hypothesis import strategies as st

from idscope.protocols.amqp.codec import FRAME_LIMIT
from idscope.protocols.amqp.mechanisms import Password, TpmToken, plain, segments, tpm
from idscope.protocols.amqp.sasl import Outcome, ProtocolViolation, SaslServer, State

MECHANISMS = {"PLAIN": plain, "TPM": tpm}
BLOB = bytes(range(256)) * 3 + bytes(19)


def init(mechanism: str, response: bytes | None, *more: object) -> bytes:
    return amqp.frame(amqp.INIT, Symbol(mechanism), response, *more, kind=1)


def response(data: bytes) -> bytes:
    return amqp.frame(amqp.RESPONSE, data, kind=1)


def machine(*fed: bytes) -> SaslServer:
    sasl = SaslServer(MECHANISMS)
    for data in fed:
        sasl.receive(data)
    return sasl


def sent(sasl: SaslServer) -> list[bytes | Frame]:
    return list(amqp.split(sasl.take_output()))


def outcome(sasl: SaslServer) -> int:
    last = sent(sasl)[-1]
    assert isinstance(last, Frame)
    assert last.performative == amqp.OUTCOME
    return int(last.field(0))


def test_header_and_mechanisms_answer_the_header() -> None:
    header, mechanisms = sent(machine(amqp.SASL))
    assert header == amqp.SASL
    assert isinstance(mechanisms, Frame)
    assert (mechanisms.kind, mechanisms.performative, mechanisms.field(0)) == (1, amqp.MECHANISMS, ["PLAIN", "TPM"])


def test_plain_presents_identity_and_password() -> None:
    sasl = machine(amqp.SASL, init("PLAIN", b"\0an identity\0a password"))
    assert sasl.state is State.PRESENTED
    assert sasl.presented == Password("an identity", "a password")
    assert "a password" not in repr(sasl.presented)


@pytest.mark.parametrize("host", [None, "a.host"])
@pytest.mark.parametrize("authorization", [b"", b"me"])
def test_plain_on_ones_own_behalf(authorization: bytes, host: str | None) -> None:
    assert machine(amqp.SASL, init("PLAIN", authorization + b"\0me\0p", host)).presented == Password("me", "p")


def test_plain_without_initial_response_is_asked_for_it() -> None:
    sasl = machine(amqp.SASL, init("PLAIN", None))
    assert sasl.state is State.CHALLENGED
    sasl.receive(response(b"\0me\0p"))
    assert sasl.presented == Password("me", "p")


@pytest.mark.parametrize("data", [b"", b"me\0p", b"\0me\0p\0q", b"other\0me\0p", b"\0\xff\0p"])
def test_a_garbled_plain_is_refused(data: bytes) -> None:
    assert outcome(machine(amqp.SASL, init("PLAIN", data))) == Outcome.AUTH


@pytest.mark.parametrize("name", ["ANONYMOUS", "EXTERNAL", "plain", ""])
def test_an_unknown_mechanism_is_refused(name: str) -> None:
    assert outcome(machine(amqp.SASL, init(name, b""))) == Outcome.AUTH


@pytest.mark.parametrize("verdict", list(Outcome))
def test_the_verdict_is_the_outcome(verdict: Outcome) -> None:
    sasl = machine(amqp.SASL, init("PLAIN", b"\0me\0p"))
    sasl.take_output()
    sasl.conclude(verdict)
    assert (outcome(sasl), sasl.state, sasl.presented) == (verdict, State.DONE, None)


def test_what_follows_the_outcome_is_kept() -> None:
    sasl = machine(amqp.SASL + init("PLAIN", b"\0me\0p") + amqp.AMQP + b"and more")
    sasl.conclude(Outcome.OK)
    assert sasl.take_rest() == amqp.AMQP + b"and more"
    assert sasl.take_rest() == b""


def test_a_verdict_comes_after_what_it_is_about() -> None:
    with pytest.raises(RuntimeError):
        machine(amqp.SASL).conclude(Outcome.OK)
    with pytest.raises(RuntimeError):
        machine(amqp.SASL).provide(b"blob")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1", id="another protocol"),
        pytest.param(amqp.AMQP, id="the AMQP header"),
        pytest.param(amqp.SASL + response(b"x"), id="a response before the init"),
        pytest.param(amqp.SASL + amqp.frame(amqp.OUTCOME, 0, kind=1), id="an outcome of its own"),
        pytest.param(amqp.SASL + amqp.frame(amqp.INIT, Symbol("PLAIN"), b"", kind=0), id="an AMQP frame"),
        pytest.param(amqp.SASL + init("PLAIN", bytes(FRAME_LIMIT)), id="a frame too large"),
        pytest.param(amqp.SASL + b"\0\0\0\x07\x02\x01\0\0", id="a frame smaller than its header"),
        pytest.param(amqp.SASL + b"\0\0\0\x08\x01\x01\0\0", id="a data offset within the header"),
        pytest.param(amqp.SASL + b"\0\0\0\x08\x02\x01\0\0", id="an empty frame"),
        pytest.param(amqp.SASL + init("PLAIN", b"", None, None), id="a field too many"),
        pytest.param(amqp.SASL + amqp.frame(amqp.INIT, kind=1), id="no mechanism"),
        pytest.param(amqp.SASL + amqp.frame(amqp.INIT, Symbol("PLAIN"), "text", kind=1), id="a response of text"),
        pytest.param(amqp.SASL + amqp.frame(amqp.INIT, True, b"", kind=1), id="a type without a place"),
    ],
)
def test_violations(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        machine(data)


def test_what_is_sent_ahead_is_bounded() -> None:
    sasl = machine(amqp.SASL, init("PLAIN", b"\0me\0p"))
    with pytest.raises(ProtocolViolation):
        sasl.receive(bytes(70_000))


def tpm_identity(key: bytes = b"\x01\x3a" + bytes(314)) -> bytes:
    return b"\0a scope\0a-device\0" + key


def test_the_tpm_sequence_byte_for_byte() -> None:
    """As four clients speak it: one zero byte, then exactly two segments behind 0x80 and 0xC1."""
    sasl = machine(amqp.SASL)
    sent(sasl)
    sasl.receive(init("TPM", tpm_identity()))
    (first,) = sent(sasl)
    sasl.receive(response(b"\0" + b"\x01\x1a" + bytes(282)))
    assert sasl.state is State.BLOB
    assert sasl.wanted is not None
    assert (sasl.wanted.scope, sasl.wanted.name) == ("a scope", "a-device")
    assert len(sasl.wanted.storage_root_key) == 284
    sasl.provide(BLOB)
    (second,) = sent(sasl)
    sasl.receive(response(b"\0"))
    (third,) = sent(sasl)
    sasl.receive(response(b"\0SharedAccessSignature sr=x"))
    assert isinstance(sasl.presented, TpmToken)
    assert sasl.presented.token == "SharedAccessSignature sr=x"
    frames = [one for one in (first, second, third) if isinstance(one, Frame)]
    assert [one.performative for one in frames] == [amqp.CHALLENGE] * 3
    assert [one.field(0) for one in frames] == [b"\0", b"\x80" + BLOB[:394], b"\xc1" + BLOB[394:]]


@pytest.mark.parametrize(
    "data", [b"", b"\0scope\0id", b"x\0scope\0id\0key", b"\0\0id\0key", b"\0scope\0id\0", b"\0\xff\0id\0key"]
)
def test_a_garbled_tpm_is_refused(data: bytes) -> None:
    assert outcome(machine(amqp.SASL, init("TPM", data))) == Outcome.AUTH


@pytest.mark.parametrize("data", [b"", b"\0", b"\x01key"])
def test_a_garbled_root_key_is_refused(data: bytes) -> None:
    assert outcome(machine(amqp.SASL, init("TPM", tpm_identity()), response(data))) == Outcome.AUTH


def test_another_word_between_the_segments_is_refused() -> None:
    sasl = machine(amqp.SASL, init("TPM", tpm_identity()), response(b"\0key"))
    sasl.provide(BLOB)
    sasl.receive(response(b"\x01"))
    assert outcome(sasl) == Outcome.AUTH


def test_a_blob_may_be_refused() -> None:
    sasl = machine(amqp.SASL, init("TPM", tpm_identity()), response(b"\0key"))
    sasl.conclude(Outcome.AUTH)
    assert outcome(sasl) == Outcome.AUTH


@given(st.binary(min_size=2, max_size=960))
def test_two_segments_hold_the_blob_and_fit_into_frames(blob: bytes) -> None:
    first, second = segments(blob)
    assert first[1:] + second[1:] == blob
    assert (first[0], second[0]) == (0x80, 0xC1)
    assert max(len(first), len(second)) + 30 <= FRAME_LIMIT


@pytest.mark.parametrize("size", [0, 1, 961])
def test_a_blob_that_does_not_fit(size: int) -> None:
    with pytest.raises(ValueError):
        segments(bytes(size))


WORDS = st.sampled_from(
    [amqp.SASL, amqp.AMQP, init("PLAIN", b"\0me\0p"), init("TPM", tpm_identity()), response(b"\0key"), response(b"\0")]
)


@example([amqp.SASL, init("TPM", tpm_identity()), response(b"\0key")], 1)
@given(st.lists(st.one_of(st.binary(max_size=600), WORDS), max_size=8), st.integers(1, 700))
def test_any_bytes_cut_anywhere_raise_nothing_but_the_violation(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    sasl = SaslServer(MECHANISMS)
    try:
        for at in range(0, len(stream), size):
            sasl.receive(stream[at : at + size])
            if sasl.state is State.BLOB:
                sasl.provide(BLOB)
    except ProtocolViolation:
        pass
    assert len(sasl.take_output()) < 4096


@given(st.lists(WORDS, max_size=6), st.integers(1, 300))
def test_cuts_change_nothing(parts: list[bytes], size: int) -> None:
    def run(step: int) -> tuple[State | None, bytes]:
        stream = b"".join(parts)
        sasl = SaslServer(MECHANISMS)
        try:
            for at in range(0, len(stream), step):
                sasl.receive(stream[at : at + step])
        except ProtocolViolation:
            return None, b""
        return sasl.state, sasl.take_output()

    assert run(size) == run(100_000)

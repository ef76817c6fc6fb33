"""Makes MQTT packets for property tests. It must not know the code under test beyond its packet types."""

from __future__ import annotations

from hypothesis import strategies as st

from idscope.protocols.mqtt.packets import (
    REFUSED_FILTER,
    Connack,
    Connect,
    Disconnect,
    OtherConnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from idscope.secret import Secret

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
topic_names = texts.map(lambda text: "t" + text.replace("#", "").replace("+", ""))
filters = st.sampled_from(["#", "+", "+/a", "a/+/b/#", "$dps/registrations/res/#"]) | topic_names
packet_ids = st.integers(1, 65_535)
qos = st.integers(0, 2)
wills = st.builds(Will, topic_names, st.binary(max_size=40), qos, st.booleans())
passwords = st.binary(max_size=200).map(lambda data: Secret(data.decode("latin-1")))


def _credentials() -> st.SearchStrategy[tuple[str | None, Secret | None]]:
    return st.tuples(texts, st.none() | passwords) | st.just((None, None))


@st.composite
def connects(draw: st.DrawFn) -> Connect:
    user_name, password = draw(_credentials())
    return Connect(
        client_id=draw(texts),
        clean_session=draw(st.booleans()),
        keep_alive=draw(st.integers(0, 65_535)),
        user_name=user_name,
        password=password,
        will=draw(st.none() | wills),
    )


publishes = st.builds(Publish, topic_names, st.binary(max_size=300)) | st.builds(
    Publish, topic_names, st.binary(max_size=300), st.integers(1, 2), packet_ids, st.booleans(), st.booleans()
)
subscribes = st.builds(Subscribe, packet_ids, st.lists(st.tuples(filters, qos), min_size=1, max_size=8).map(tuple))
unsubscribes = st.builds(Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=8).map(tuple))

packets: st.SearchStrategy[Packet] = st.one_of(
    connects(),
    st.integers(5, 255).map(lambda level: OtherConnect("MQTT", level)),
    st.just(OtherConnect("MQIsdp", 3)),
    st.integers(0, 5).map(Connack),
    st.just(Connack(0, session_present=True)),
    publishes,
    st.one_of(*(packet_ids.map(kind) for kind in (Puback, Pubrec, Pubrel, Pubcomp, Unsuback))),
    subscribes,
    st.builds(Suback, packet_ids, st.lists(st.sampled_from([0, 1, 2, REFUSED_FILTER]), min_size=1).map(tuple)),
    unsubscribes,
    st.sampled_from([Pingreq(), Pingresp(), Disconnect()]),
)


def cuts(size: int) -> st.SearchStrategy[list[int]]:
    """Where to cut a stream of so many bytes."""
    return st.lists(st.integers(0, size), max_size=12).map(sorted)


def pieces(stream: bytes, places: list[int]) -> list[bytes]:
    ends = [*places, len(stream)]
    starts = [0, *places]
    return [stream[start:end] for start, end in zip(starts, ends, strict=True)]

"""A connection on which a device was let in lives on, over every wire, while its group is blocked or gets another key:
its next request is refused, though it shows nothing anew. All cases: `tests/unit/attestation/test_judged_again.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attack_streams import Conversation
from attack_wires import WIRES, Shown, Visitor, WireName
from attack_world import LOW, World, new_key, peopled, x509

from idscope.testing.server import ServerProcess
from idscope.testing.server_client import ServerClient, enrollment

UNAUTHORIZED = "401002 Unauthorized"
INNER = LOW.intermediate("inner")


@pytest.fixture(scope="module")
def world(serve: Callable[..., ServerProcess]) -> World:
    return peopled(serve())


@pytest.fixture
def visitor(world: World, tmp_path: Path) -> Visitor:
    return Visitor(world.server.ready, tmp_path)


@pytest.fixture
def service(world: World) -> Iterator[ServerClient]:
    with ServerClient(world.server.ready) as client:
        yield client


def put_group(service: ServerClient, group_id: str, attestation: dict[str, Any], **members: Any) -> None:
    path, body = f"/enrollmentGroups/{group_id}", {"enrollmentGroupId": group_id, "attestation": attestation, **members}
    if service.service("PUT", path, body).status == 409:
        assert service.service("PUT", path, body, if_match="*").status == 200


def asked(conversation: Conversation, registration_id: str, operation_id: str) -> tuple[str, str]:
    """To register again, and how the operation stands."""
    again = conversation.ask("register", {"registrationId": registration_id})
    return again.told, conversation.ask("poll", operation_id).told


@pytest.mark.parametrize("wire", WIRES)
def test_a_nearer_group_blocks(service: ServerClient, visitor: Visitor, wire: WireName) -> None:
    registration_id = f"inner-{wire}".lower()
    shown = Shown(chain=(INNER.device(registration_id), INNER, LOW))
    with visitor.conversation(wire, registration_id, shown) as conversation:
        first = conversation.ask("register", {"registrationId": registration_id})
        assert first.told == "assigned"
        operation_id = first.document["operationId"]
        assert asked(conversation, registration_id, operation_id) == ("assigned", "assigned")

        put_group(service, "inner", x509("signingCertificates", INNER), provisioningStatus="disabled")

        # HTTPS judges each request, and finds the group that says no.
        expected = ("disabled", "disabled") if wire == "Http" else (UNAUTHORIZED, UNAUTHORIZED)
        assert asked(conversation, registration_id, operation_id) == expected
    assert visitor.register(wire, registration_id, shown).told == "disabled"
    assert service.service("DELETE", "/enrollmentGroups/inner").status == 204
    assert visitor.register(wire, registration_id, shown).told == "assigned"


@pytest.mark.parametrize("wire", WIRES)
def test_a_group_gets_another_key(world: World, service: ServerClient, visitor: Visitor, wire: WireName) -> None:
    registration_id = f"member-{wire}".lower()
    shown = Shown(world.token(registration_id, world.keys.of_fleet(registration_id)))
    with visitor.conversation(wire, registration_id, shown) as conversation:
        first = conversation.ask("register", {"registrationId": registration_id})
        assert first.told == "assigned"

        put_group(service, "fleet", enrollment("", new_key())["attestation"])

        assert asked(conversation, registration_id, first.document["operationId"]) == (UNAUTHORIZED, UNAUTHORIZED)
    put_group(service, "fleet", enrollment("", world.keys.fleet)["attestation"])
    assert visitor.register(wire, registration_id, shown).told == "assigned"

"""A throttled device with Node's SDK over HTTPS: told at once, with a trackingId that leads to the reason."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from sdk_drivers import HTTPS, SdkError

from idscope.testing.server_client import ServerClient

GROUP_KEY = base64.b64encode(bytes(range(32))).decode()


def test_a_throttled_device_is_told_so_in_the_words_of_its_sdk(deploy: Any) -> None:
    """Over its other wires the SDK asks again until it is let in, which takes the rest of a minute."""
    deployment = deploy(arguments=("--failed-group-tries-per-minute", "1"))
    with ServerClient(deployment.ready) as client:
        keys = {"type": "symmetricKey", "symmetricKey": {"primaryKey": GROUP_KEY}}
        group = {"enrollmentGroupId": "fleet", "attestation": keys}
        assert client.service("PUT", "/enrollmentGroups/fleet", group).status == 200
        assert client.register("wrong", GROUP_KEY).status == 401
        with pytest.raises(SdkError) as refused:
            deployment.register("new", GROUP_KEY, HTTPS)
        assert (refused.value.name, refused.value.status, refused.value.error_code) == ("ThrottlingError", 429, 429001)
        assert refused.value.body
        token = deployment.ready.document["admin_token"]
        path = f"/admin/attempts/{json.loads(refused.value.body)['trackingId']}"
        while "attempts" not in (told := client.operator("GET", path, token=token).json()):
            time.sleep(0.05)  # written a moment later
    assert [one["cause"] for one in told["attempts"]] == ["too-many-failed-tries"]

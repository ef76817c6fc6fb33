"""Owns one process that holds Microsoft's unmodified management SDK for Python and does with it what the tests ask.

It speaks as python_driver.py does; it must not know what a test expects, and runs in the SDKs' own environment, without
idscope.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.iothubprovisioningservices import IotDpsClient
from azure.mgmt.iothubprovisioningservices.operations import DpsCertificateOperations

Document = dict[str, Any]

GROUP = "any-group"


class StaticToken:
    """A token credential as azure-core documents one: `get_token` is all that it needs."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


@functools.cache
def _certificates(url: str, token: str, api_version: str | None = None) -> DpsCertificateOperations:
    more = {} if api_version is None else {"api_version": api_version}
    client = IotDpsClient(
        StaticToken(token), "91d12660-3dec-467a-be2a-213b5544ddc0", base_url=url, retry_total=0, **more
    )
    return client.dps_certificate


def _condition(etag: str | None) -> Document:
    """As the SDK documents conditions: an etag with `IfNotModified`, `IfPresent` for any."""
    if etag is None:
        return {}
    if etag == "*":
        return {"etag": "", "match_condition": MatchConditions.IfPresent}
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def put(client: Document, service: str, name: str, body: Document, etag: str | None = None) -> Document:
    return _wire(_certificates(**client).create_or_update(GROUP, service, name, body, **_condition(etag)))


def put_model(client: Document, service: str, name: str, certificate: str, *, verified: bool) -> Document:
    """With the SDK's own models, which send the bytes of the PEM file in Base64."""
    from azure.mgmt.iothubprovisioningservices.models import CertificateProperties, CertificateResponse

    properties = CertificateProperties(certificate=certificate.encode(), is_verified=verified)
    model = CertificateResponse(properties=properties)
    return _wire(_certificates(**client).create_or_update(GROUP, service, name, model))


def get(client: Document, service: str, name: str, etag: str | None = None) -> Document:
    return _wire(_certificates(**client).get(name, GROUP, service, **_condition(etag)))


def list_all(client: Document, service: str) -> list[Document]:
    return [_wire(one) for one in _certificates(**client).list(GROUP, service).value]


def delete(client: Document, service: str, name: str, etag: str) -> None:
    _certificates(**client).delete(GROUP, service, name, **_condition(etag))


def generate(client: Document, service: str, name: str, etag: str, **query: Any) -> Document:
    condition = _condition(etag)
    return _wire(_certificates(**client).generate_verification_code(name, GROUP, service, **condition, **query))


def verify(client: Document, service: str, name: str, certificate: str, etag: str) -> Document:
    body = {"certificate": certificate}
    return _wire(_certificates(**client).verify_certificate(name, GROUP, service, body, **_condition(etag)))


def expiry(client: Document, service: str, name: str) -> str:
    """The date as the SDK's model understands it."""
    moment = _certificates(**client).get(name, GROUP, service).properties.expiry
    return str(moment.isoformat())


def _wire(model: Any) -> Document:
    return dict(model.as_dict())


OPERATIONS: dict[str, Callable[..., Any]] = {
    "put": put,
    "put_model": put_model,
    "get": get,
    "list": list_all,
    "delete": delete,
    "generate": generate,
    "verify": verify,
    "expiry": expiry,
}


def _described(error: Exception) -> Document:
    description = {"name": type(error).__name__, "message": str(error), "status": None, "body": None}
    if isinstance(error, HttpResponseError) and error.response is not None:
        description |= {"status": error.response.status_code, "body": error.response.text()}
    return description


def _answer(line: str) -> Document:
    request = json.loads(line)
    try:
        result = OPERATIONS[request["operation"]](**request["arguments"])
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what the test wants to see
        return {"id": request["id"], "error": _described(error)}
    return {"id": request["id"], "result": result}


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

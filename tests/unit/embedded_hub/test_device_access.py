"""Who may connect as which device: tokens and thumbprints, and every refusal."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from idscope.clock import MICROSECONDS, SystemClock
from idscope.directory import AccessPolicy, EmbeddedHub, Right, Snapshot
from idscope.embedded_hub import Identities
from idscope.embedded_hub.device_access import AdmittedDevice, DeviceAccess, HubLogin
from idscope.embedded_hub.documents import AuthenticationMechanism, DeviceChange, SymmetricKey, X509Thumbprint
from idscope.errors import HubUnauthorized
from idscope.model.etag import ABSENT, PRESENT
from idscope.secret import Secret
from idscope.security.sealing import Sealer
from idscope.testing import MemoryStore
from idscope.testing.application import sas_token
from idscope.testing.certificates import CertificateMaker

PRIMARY = base64.b64encode(b"1" * 32).decode()
SECONDARY = base64.b64encode(b"2" * 32).decode()
POLICY_KEY = base64.b64encode(b"3" * 32).decode()
STRANGE_KEY = base64.b64encode(b"4" * 32).decode()
HOST = "hub.local.test"
LOGIN = HubLogin(HOST, "Dev-1", None, "2021-04-12")
OTHER = HubLogin(HOST, "Dev-2", None, "2021-04-12")
RESOURCE = f"{HOST}/devices/Dev-1"


class Gate:
    """One hub with the device Dev-1, asked to admit it."""

    def __init__(self, authentication: AuthenticationMechanism | None = None) -> None:
        self.clock = SystemClock()
        self.identities = Identities(MemoryStore(), Sealer(b"k" * 32), self.clock)
        keys = Secret(POLICY_KEY), Secret(POLICY_KEY)
        policies = {
            "device": AccessPolicy("device", frozenset({Right.DEVICE_CONNECT}), *keys),
            "service": AccessPolicy("service", frozenset({Right.SERVICE_CONNECT}), *keys),
        }
        self.snapshot = Snapshot((), (EmbeddedHub("h1", (HOST, "127.0.0.1"), policies),))
        self.authentication = authentication or AuthenticationMechanism(
            type="sas", symmetric_key=SymmetricKey(primary_key=Secret(PRIMARY), secondary_key=Secret(SECONDARY))
        )

    @property
    def later(self) -> int:
        return self.clock.now() // MICROSECONDS + 3600

    def admit(
        self,
        token: str | None = None,
        *,
        login: HubLogin = LOGIN,
        client_id: str = "Dev-1",
        chain: tuple[bytes, ...] = (),
        status: str = "enabled",
    ) -> AdmittedDevice:
        async def within() -> AdmittedDevice:
            if await self.identities.find("h1", "Dev-1") is None:
                change = DeviceChange(authentication=self.authentication)
                await self.identities.create_or_update("h1", "Dev-1", change, ABSENT)
            await self.identities.create_or_update("h1", "Dev-1", DeviceChange(status=status), PRESENT)
            identities = self.identities
            access = DeviceAccess(identities._store, Sealer(b"k" * 32), self.clock, lambda: self.snapshot)
            return await access.admit(login, client_id, None if token is None else Secret(token), chain)

        return asyncio.run(within())

    def refused(self, token: str | None = None, **more: Any) -> str:
        with pytest.raises(HubUnauthorized) as refusal:
            self.admit(token, **more)
        assert refusal.value.message == "Unauthorized"
        return refusal.value.reason


@pytest.mark.parametrize(
    ("resource", "key", "key_name"),
    [
        (RESOURCE, PRIMARY, None),
        (RESOURCE, SECONDARY, None),
        (RESOURCE, SECONDARY, ""),
        (RESOURCE.lower(), PRIMARY, None),
        ("127.0.0.1/devices/Dev-1", PRIMARY, None),
        (RESOURCE, POLICY_KEY, "device"),
        (f"{HOST}/devices", POLICY_KEY, "device"),
        (HOST, POLICY_KEY, "device"),
    ],
)
@pytest.mark.parametrize("encode", [True, False])
def test_good_tokens(resource: str, key: str, key_name: str | None, encode: bool) -> None:
    gate = Gate()
    expiry = gate.later
    admitted = gate.admit(sas_token(resource, key, expiry, key_name, encode_resource=encode))
    assert (admitted.hub_id, admitted.device_id) == ("h1", "Dev-1")
    assert admitted.expires == (expiry + 300) * MICROSECONDS


@pytest.mark.parametrize(
    ("resource", "key", "key_name", "why"),
    [
        (RESOURCE, STRANGE_KEY, None, "signature"),
        (RESOURCE, POLICY_KEY, None, "signature"),
        (RESOURCE, PRIMARY, "device", "signature"),
        (RESOURCE, POLICY_KEY, "service", "policy"),
        (RESOURCE, POLICY_KEY, "nobody", "policy"),
        (f"{HOST}/devices/Dev-2", PRIMARY, None, "audience"),
        (f"{HOST}/devices/Dev-1/x", PRIMARY, None, "audience"),
        (HOST, PRIMARY, None, "audience"),
        ("other.test/devices/Dev-1", PRIMARY, None, "audience"),
        (f"{HOST}/devices/Dev-2", POLICY_KEY, "device", "audience"),
    ],
)
def test_tokens_of_others(resource: str, key: str, key_name: str | None, why: str) -> None:
    gate = Gate()
    assert why in gate.refused(sas_token(resource, key, gate.later, key_name))


def test_other_refusals() -> None:
    gate = Gate()
    good = sas_token(RESOURCE, PRIMARY, gate.later)
    assert "disabled" in gate.refused(good, status="disabled")
    assert "expired" in gate.refused(sas_token(RESOURCE, PRIMARY, gate.later - 3600 - 301))
    assert "client id" in gate.refused(good, client_id="dev-1")
    assert "api-version" in gate.refused(good, login=HubLogin(HOST, "Dev-1", None, ""))
    assert "modules" in gate.refused(good, login=HubLogin(HOST, "Dev-1", "m", "1"), client_id="Dev-1/m")
    assert "hub" in gate.refused(good, login=HubLogin("other.test", "Dev-1", None, "1"))
    assert "neither" in gate.refused()
    assert "neither" in gate.refused("")
    assert "form" in gate.refused("nonsense")
    other = sas_token(f"{HOST}/devices/Dev-2", PRIMARY, gate.later)
    assert "signature" in gate.refused(other, login=OTHER, client_id="Dev-2")


def thumbprints(primary: str | None, secondary: str | None = None) -> AuthenticationMechanism:
    return AuthenticationMechanism(
        type="selfSigned",
        x509_thumbprint=X509Thumbprint(primary_thumbprint=primary, secondary_thumbprint=secondary),
    )


SELF_SIGNED = CertificateMaker.self_signed("Dev-1")
ISSUED = CertificateMaker.authority().device("any name")
SHA_1 = {each: hashlib.sha1(each.der_chain()[0]).hexdigest() for each in (SELF_SIGNED, ISSUED)}
SHA_256 = {each: hashlib.sha256(each.der_chain()[0]).hexdigest() for each in (SELF_SIGNED, ISSUED)}
NO_THUMBPRINT = "0" * 40


@pytest.mark.parametrize("certificate", [SELF_SIGNED, ISSUED])
@pytest.mark.parametrize("spelled", [str.lower, str.upper])
@pytest.mark.parametrize("secondary", [False, True])
@pytest.mark.parametrize("thumbprint", [SHA_1, SHA_256])
def test_good_certificates(
    certificate: CertificateMaker,
    spelled: Callable[[str], str],
    secondary: bool,
    thumbprint: dict[CertificateMaker, str],
) -> None:
    stored = spelled(thumbprint[certificate])
    gate = Gate(thumbprints(NO_THUMBPRINT, stored) if secondary else thumbprints(stored))
    admitted = gate.admit(chain=certificate.der_chain())
    assert (admitted.device_id, admitted.expires) == ("Dev-1", None)


def test_other_certificates() -> None:
    chain = SELF_SIGNED.der_chain()
    assert "thumbprint" in Gate(thumbprints(SHA_256[ISSUED])).refused(chain=chain)
    issuer = hashlib.sha256(ISSUED.der_chain()[1]).hexdigest()
    assert "thumbprint" in Gate(thumbprints(issuer)).refused(chain=ISSUED.der_chain())
    assert "authentication is sas" in Gate().refused(chain=chain)
    for days in ((-9, -1), (1, 9)):
        bad = CertificateMaker.self_signed("Dev-1", days=days).der_chain()
        assert "not valid now" in Gate(thumbprints(hashlib.sha256(bad[0]).hexdigest())).refused(chain=bad)
    gate = Gate(thumbprints(SHA_256[SELF_SIGNED]))
    assert "disabled" in gate.refused(chain=chain, status="disabled")
    assert "selfSigned" in gate.refused(sas_token(RESOURCE, PRIMARY, gate.later))
    assert "thumbprint" in gate.refused(chain=(b"no certificate",))
    nobody = gate.refused(chain=chain, login=OTHER, client_id="Dev-2")
    assert "thumbprint" in nobody
    for kind in ("certificateAuthority", "none"):
        assert kind in Gate(AuthenticationMechanism(type=kind)).refused(chain=chain)

"""A server in-process with every kind of enrollment, and devices that are refused there for every reason. What each is
told over HTTPS is written down from the published catalogue, why and what to do from what the operator must learn."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.serialization import Encoding

from idscope.clock import MICROSECONDS
from idscope.model.etag import new_etag
from idscope.records import CaCertificateRecord, ca_certificate_row
from idscope.registration import WorkflowSettings
from idscope.storage import Put, Unit
from idscope.testing.application import ID_SCOPE, Application, Response, sas_token
from idscope.testing.certificates import CertificateMaker
from idscope.testing.manual_clock import ManualClock
from idscope.testing.memory_store import MemoryStore

KEY = base64.b64encode(bytes(range(32))).decode()
SECOND_KEY = base64.b64encode(bytes(range(1, 33))).decode()
GROUP_KEY = base64.b64encode(bytes(range(32, 64))).decode()
STRANGE_KEY = base64.b64encode(b"k" * 32).decode()


def derived(key: bytes | str, registration_id: str) -> str:
    """The published derivation, written a second time."""
    secret = key if isinstance(key, bytes) else base64.b64decode(key)
    return base64.b64encode(hmac.new(secret, registration_id.encode(), hashlib.sha256).digest()).decode()


def text_as_key(key: str) -> str:
    """What signs like a client that forgot to decode the key."""
    return base64.b64encode(key.encode()).decode()


def resource(registration_id: str = "device", scope: str = ID_SCOPE) -> str:
    return f"{scope}/registrations/{registration_id}"


class World:
    """`device` has an individual enrollment, devices of `fleet` share a key, those of `factory` a CA that is verified
    and those of `workshop` one that is not."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.tokens: list[str] = []  # that were sent, where a wire notes them
        self.root = CertificateMaker.authority("factory root")
        self.unverified = CertificateMaker.authority("workshop root")
        self.stranger = CertificateMaker.authority("strange root")

    async def prepare(self) -> None:
        keys = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": SECOND_KEY}}
        await self.app.enroll("device", attestation=keys)
        await self.group("fleet", {"type": "symmetricKey", "symmetricKey": {"primaryKey": GROUP_KEY}})
        await self._upload("factory-root", self.root, verified=True)
        await self._upload("workshop-root", self.unverified, verified=False)
        await self.group("factory", signing(self.root.intermediate("factory 1")))
        await self.group("factory-root", signing(self.root))
        await self.group("workshop", signing(self.unverified))

    async def group(self, group_id: str, attestation: dict[str, Any], **members: Any) -> None:
        body = {"enrollmentGroupId": group_id, "attestation": attestation, **members}
        assert (await self.app.service("PUT", f"/enrollmentGroups/{group_id}", body)).status == 200

    async def change(self, path: str, **members: Any) -> None:
        document = (await self.app.service("GET", path)).json() | members
        assert (await self.app.service("PUT", path, document, if_match="*")).status == 200

    async def _upload(self, name: str, maker: CertificateMaker, *, verified: bool) -> None:
        now = self.app.clock.now()
        content = maker.certificate.public_bytes(Encoding.DER)
        record = CaCertificateRecord(
            name=name, certificate=content, is_verified=verified, etag=new_etag(now), created=now, updated=now
        )
        await self.app.store.commit(Unit.of(Put(ca_certificate_row(ID_SCOPE, record))))

    def token(self, signed: str, key: str, *, late: int = -3600, name: str | None = "registration") -> str:
        """`late` seconds ago it expired."""
        return sas_token(signed, key, self.app.clock.now() // MICROSECONDS - late, name)

    async def register(
        self,
        registration_id: str,
        token: str | None = None,
        chain: tuple[CertificateMaker, ...] = (),
        *,
        scope: str = ID_SCOPE,
        body: dict[str, Any] | None = None,
        version: str = "2021-06-01",
    ) -> Response:
        path = f"/{scope}/registrations/{quote(registration_id, safe='')}/register?api-version={version}"
        return await self.app.request("PUT", path, body or {}, authorization=token, chain=in_der(chain))

    async def signed(self, registration_id: str, key: str, **more: Any) -> Response:
        """Registers with a token that is right in everything but, perhaps, the key."""
        return await self.register(registration_id, self.token(resource(registration_id), key), **more)


def in_der(chain: tuple[CertificateMaker, ...]) -> tuple[bytes, ...]:
    return tuple(one.certificate.public_bytes(Encoding.DER) for one in chain)


def signing(maker: CertificateMaker) -> dict[str, Any]:
    pem = maker.certificate.public_bytes(Encoding.PEM).decode()
    return {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": pem}}}}


async def play(
    scenario: Callable[[World], Awaitable[Any]],
    *,
    world_type: type[World] = World,
    assign_wait: float = 1.0,
    failed_group_tries: int = 300,
    **options: Any,
) -> Any:
    """Run a scenario at the present, since test certificates are valid around it."""
    clock = ManualClock(round(time.time() * MICROSECONDS))
    settings = WorkflowSettings(hub_limit=0, assign_wait=assign_wait, failed_group_tries=failed_group_tries)
    async with Application(clock=clock, settings=settings, **options) as app:
        world = world_type(app)
        await world.prepare()
        return await scenario(world)


@dataclass(frozen=True)
class Refusal:
    """`told` is what the device sees: status, errorCode, message; where the status is 202, the registration's status
    and errorCode instead."""

    name: str
    act: Callable[[World], Awaitable[Response]]
    told: tuple[Any, ...]
    cause: str
    why: tuple[str, ...]
    advice: str
    enrollment: tuple[str, str] | None = None
    passed: str | None = None
    registration_id: str = "device"


def everything_kept(app: Application) -> str:
    """All rows of the store, in words."""
    assert isinstance(app.store, MemoryStore)
    return repr(app.store._tables)


async def use_up_limit_of_one(app: Application) -> None:
    """By a token that fits no group, from the address that devices without a socket have."""
    path = f"/{ID_SCOPE}/registrations/unknown/register?api-version=2021-06-01"
    assert (await app.request("PUT", path, {}, authorization=app.device_token("unknown", STRANGE_KEY))).status == 401


def secrets_in(world: World, tokens: list[str]) -> list[str]:
    """Of keys, derived keys and the signatures of tokens those that the store holds anywhere."""
    kept = everything_kept(world.app)
    keys = {KEY, SECOND_KEY, GROUP_KEY, STRANGE_KEY, *(derived(GROUP_KEY, one) for one in ("new", "NEW", "device"))}
    signatures = {match[1] for token in tokens if (match := re.search(r"sig=([^&]+)", token))}
    found = {*keys, *signatures, *map(unquote, signatures)}
    return [secret for secret in found if secret.removesuffix("%3D").rstrip("=") in kept]


UNAUTHORIZED = (401, 401002, "Unauthorized")
INVALID = (401, 401002, "Invalid certificate.")
NO_CA = (401, 401002, "CA certificate not found.")
INDIVIDUAL = ("device", "individual")


async def _disabled(world: World) -> Response:
    await world.change("/enrollments/device", provisioningStatus="disabled")
    return await world.signed("device", KEY)


async def _disabled_group(world: World) -> Response:
    await world.change("/enrollmentGroups/fleet", provisioningStatus="disabled")
    return await world.signed("new", derived(GROUP_KEY, "new"))


async def _attests_by_certificate(world: World) -> Response:
    leaf = CertificateMaker.self_signed("by-certificate").certificate.public_bytes(Encoding.PEM).decode()
    slots = {"primary": {"certificate": leaf}}
    await world.app.enroll("by-certificate", attestation={"type": "x509", "x509": {"clientCertificates": slots}})
    return await world.signed("by-certificate", KEY)


async def _attests_by_nothing(world: World) -> Response:
    await world.app.enroll("nothing", attestation={"type": "none"})
    return await world.signed("nothing", KEY)


async def _without_group(world: World) -> Response:
    assert (await world.app.service("DELETE", "/enrollmentGroups/fleet")).status == 204
    return await world.signed("new", STRANGE_KEY)


async def _elsewhere(world: World) -> Response:
    await world.change("/enrollments/device", iotHubs=["elsewhere.azure-devices.net"])
    return await world.signed("device", KEY)


async def _custom(world: World) -> Response:
    definition = {"webhookUrl": "https://x.test/?code=1", "apiVersion": "2021-10-01"}
    await world.change("/enrollments/device", allocationPolicy="custom", customAllocationDefinition=definition)
    return await world.signed("device", KEY)


async def _renewed_key(world: World) -> Response:
    """The certificate of an authority that has the name of a verified one."""
    forged = CertificateMaker.authority("factory root")
    return await world.register("new", None, (forged.device("new"),))


def _over_decoded(world: World, key: str) -> str:
    """The signature over the decoded `sr`, the encoded one sent."""
    expiry = world.app.expiry
    bare = sas_token(resource(), key, expiry, "registration", encode_resource=False)
    return bare.replace(resource(), quote(resource(), safe=""))


def _row(name: str, act: Any, told: Any, cause: str, why: Any, advice: str, *more: Any, **named: Any) -> Refusal:
    return Refusal(name, act, told, cause, (why,) if isinstance(why, str) else why, advice, *more, **named)


REFUSALS = (
    _row(
        "a token that expired six minutes ago",
        lambda w: w.register("device", w.token(resource(), KEY, late=360)),
        UNAUTHORIZED,
        "token-expired",
        ("expired 6 min ago", "allowed skew 5 min", "server time 2"),
        "check its clock",
        INDIVIDUAL,
        "signature",
    ),
    _row(
        "a token for another scope",
        lambda w: w.register("device", w.token(resource(scope="0ne00FFFFFF"), KEY)),
        UNAUTHORIZED,
        "token-of-other-scope",
        ("0ne00FFFFFF", ID_SCOPE),
        "same id scope",
        INDIVIDUAL,
        "form of the token",
    ),
    _row(
        "a token for another device",
        lambda w: w.register("device", w.token(resource("other"), KEY)),
        UNAUTHORIZED,
        "token-of-other-registration",
        "sr names the registration id 'other', this is 'device'",
        "same registration id",
        INDIVIDUAL,
    ),
    _row(
        "a token of the service API",
        lambda w: w.register("device", w.app.service_token()),
        UNAUTHORIZED,
        "token-of-other-resource",
        "sr names '127.0.0.1'",
        "no use here",
        INDIVIDUAL,
    ),
    _row(
        "a connection string as resource",
        lambda w: w.register("device", w.token(f"HostName=a.b;SharedAccessKey={KEY}", KEY)),
        UNAUTHORIZED,
        "token-of-other-resource",
        "sr names 'HostName…', this is",
        "Make the token for",
        INDIVIDUAL,
    ),
    _row(
        "a token with the name of a policy",
        lambda w: w.register("device", w.token(resource(), KEY, name="owner")),
        UNAUTHORIZED,
        "token-key-name",
        "skn",
        "Leave skn out",
        INDIVIDUAL,
    ),
    _row(
        "no token at all",
        lambda w: w.register("device"),
        UNAUTHORIZED,
        "no-credential",
        "nothing was sent",
        "send its token",
        INDIVIDUAL,
        "registration id",
    ),
    _row(
        "a text that is no token",
        lambda w: w.register("device", "Bearer abc"),
        UNAUTHORIZED,
        "token-malformed",
        "not of the form",
        "Let an SDK make the token",
        INDIVIDUAL,
        "kind of credential",
    ),
    _row(
        "a key that nobody knows",
        lambda w: w.signed("device", STRANGE_KEY),
        UNAUTHORIZED,
        "signed-with-unknown-key",
        "neither key of the enrollment",
        "Compare the key on the device",
        INDIVIDUAL,
        "resource of the token",
    ),
    _row(
        "the enrollment's key, not decoded",
        lambda w: w.signed("device", text_as_key(SECOND_KEY)),
        UNAUTHORIZED,
        "signed-with-key-as-text",
        "the Base64 text of the enrollment's key",
        "Decode the key",
        INDIVIDUAL,
    ),
    _row(
        "the enrollment's key over the decoded sr",
        lambda w: w.register("device", _over_decoded(w, KEY)),
        UNAUTHORIZED,
        "signed-over-other-text",
        "over the decoded sr",
        "as it is sent",
        INDIVIDUAL,
    ),
    _row(
        "a key derived from the enrollment's own",
        lambda w: w.signed("device", derived(KEY, "device")),
        UNAUTHORIZED,
        "signed-with-derived-key",
        "derived from the enrollment's own key",
        "individual enrollment's own key",
        INDIVIDUAL,
    ),
    _row(
        "a group's derived key where an individual enrollment decides",
        lambda w: w.signed("device", derived(GROUP_KEY, "device")),
        UNAUTHORIZED,
        "signed-with-derived-key",
        ("derived from the group 'fleet'", "individual enrollment"),
        "delete that enrollment",
        INDIVIDUAL,
    ),
    _row(
        "the group's own key",
        lambda w: w.signed("new", GROUP_KEY),
        UNAUTHORIZED,
        "signed-with-group-key",
        "signed with the key of the group 'fleet' itself instead of the key derived from it",
        "idscope device-key GROUP_KEY new",
        registration_id="new",
    ),
    _row(
        "the group's own key, not decoded",
        lambda w: w.signed("new", text_as_key(GROUP_KEY)),
        UNAUTHORIZED,
        "signed-with-group-key",
        "Base64 text",
        "belongs on no device",
        registration_id="new",
    ),
    _row(
        "a key derived from the text of the group's key",
        lambda w: w.signed("new", derived(GROUP_KEY.encode(), "new")),
        UNAUTHORIZED,
        "derived-from-key-as-text",
        "Base64 text of the key of the group 'fleet'",
        "Decode the group's key",
        registration_id="new",
    ),
    _row(
        "the derived key, not decoded",
        lambda w: w.signed("new", text_as_key(derived(GROUP_KEY, "new"))),
        UNAUTHORIZED,
        "signed-with-key-as-text",
        "Base64 text of the key derived from the group 'fleet'",
        "Decode the key",
        registration_id="new",
    ),
    _row(
        "a key derived for the id in capitals",
        lambda w: w.signed("new", derived(GROUP_KEY, "NEW")),
        UNAUTHORIZED,
        "signed-for-other-spelling",
        ("derives for 'NEW'", "this is 'new'"),
        "exactly as the device sends it",
        registration_id="new",
    ),
    _row(
        "a key derived for the id and a line feed",
        lambda w: w.signed("new", derived(GROUP_KEY, "new\n")),
        UNAUTHORIZED,
        "signed-for-other-spelling",
        r"derives for 'new\n'",
        "exactly as the device sends it",
        registration_id="new",
    ),
    _row(
        "a key that no group derives",
        lambda w: w.signed("new", STRANGE_KEY),
        UNAUTHORIZED,
        "fits-no-group",
        ("no individual enrollment has the registration id 'new'", "no symmetric-key group"),
        "idscope device-key GROUP_KEY new. A group's key that was replaced",
        registration_id="new",
    ),
    _row(
        "an id that nobody enrolled",
        _without_group,
        UNAUTHORIZED,
        "not-enrolled",
        "there is no symmetric-key group",
        "Create an individual enrollment",
        registration_id="new",
    ),
    _row(
        "a group's token that expired",
        lambda w: w.register("new", w.token(resource("new"), derived(GROUP_KEY, "new"), late=90_000)),
        UNAUTHORIZED,
        "token-expired",
        "expired 1 d 1 h ago",
        "make a new token",
        ("fleet", "group"),
        registration_id="new",
    ),
    _row(
        "a certificate where a token is wanted",
        lambda w: w.register("device", None, (CertificateMaker.self_signed("device"),)),
        UNAUTHORIZED,
        "certificate-instead-of-token",
        ("a certificate and no token was sent", "attests by symmetric key"),
        "enroll it by its certificate",
        INDIVIDUAL,
    ),
    _row(
        "a token where a certificate is wanted",
        _attests_by_certificate,
        UNAUTHORIZED,
        "token-instead-of-certificate",
        "a token and no certificate was sent",
        "enroll it by symmetric key",
        ("by-certificate", "individual"),
        registration_id="by-certificate",
    ),
    _row(
        "an enrollment that admits nobody",
        _attests_by_nothing,
        UNAUTHORIZED,
        "mechanism-admits-nobody",
        "attests by none",
        "Enroll the device by",
        ("nothing", "individual"),
        registration_id="nothing",
    ),
    _row(
        "an unknown id scope",
        lambda w: w.register("device", w.token(resource(scope="0neFFFFFFFF"), KEY), scope="0neFFFFFFFF"),
        (404, 404000, "IdScope not found."),
        "unknown-id-scope",
        "'0neFFFFFFFF'",
        "GET /admin/status",
        passed="",
    ),
    _row(
        "an id that is none",
        lambda w: w.signed("-device_", KEY),
        (400, 400004, "Invalid RegistrationId"),
        "invalid-registration-id",
        "Invalid RegistrationId",
        "1 to 128",
        passed="id scope",
        registration_id="-device_",
    ),
    _row(
        "a self-signed certificate that nobody enrolled",
        lambda w: w.register("new", None, (CertificateMaker.self_signed("new"),)),
        INVALID,
        "certificate-not-enrolled",
        ("self-signed CN=new", "verified CA certificates are factory-root"),
        "Enroll this certificate",
        registration_id="new",
    ),
    _row(
        "a chain without its intermediate",
        lambda w: w.register("new", None, (w.root.intermediate("unsent").device("new"),)),
        NO_CA,
        "chain-incomplete",
        ("it stops at CN=new, whose issuer CN=unsent was neither sent nor uploaded", "are factory-root"),
        "send the missing intermediate",
        registration_id="new",
    ),
    _row(
        "a chain of a stranger",
        lambda w: w.register("new", None, (w.stranger.device("new"), w.stranger)),
        NO_CA,
        "ca-not-uploaded",
        "ends at the self-signed CN=strange root",
        "idscope certificate verify",
        registration_id="new",
    ),
    _row(
        "a CA with the name of a verified one",
        _renewed_key,
        NO_CA,
        "chain-incomplete",
        "whose issuer CN=factory root was neither sent nor uploaded",
        "missing issuer",
        registration_id="new",
    ),
    _row(
        "a CA that is uploaded and not verified",
        lambda w: w.register("new", None, (w.unverified.device("new"),)),
        NO_CA,
        "ca-uploaded-only",
        ("not below a verified CA", "workshop-root is uploaded and waits to be verified"),
        "idscope certificate verify workshop-root",
        ("workshop", "group"),
        "enrollment of the chain",
        registration_id="new",
    ),
    _row(
        "a certificate that expired",
        lambda w: w.register("new", None, (w.root.device("new", days=(-9, -2)),)),
        INVALID,
        "certificate-expired",
        ("CN=new expired at", "server time"),
        "Issue a new certificate",
        ("factory-root", "group"),
        "verified CA",
        registration_id="new",
    ),
    _row(
        "a certificate of tomorrow",
        lambda w: w.register("new", None, (w.root.device("new", days=(1, 9)),)),
        INVALID,
        "certificate-not-yet-valid",
        "CN=new is not valid before",
        "clocks",
        ("factory-root", "group"),
        registration_id="new",
    ),
    _row(
        "a certificate issued by a device",
        lambda w: w.register("new", None, ((one := w.root.device("one")).device("new"), one)),
        INVALID,
        "certificate-against-rules",
        "CN=one is no certificate authority",
        "Issue the certificate named here anew",
        ("factory-root", "group"),
        registration_id="new",
    ),
    _row(
        "the certificate of another device",
        lambda w: w.register("new", None, (w.root.device("old"),)),
        INVALID,
        "common-name-differs",
        "the common name of the leaf is 'old', the registration id is 'new'",
        "x509_registration_id",
        registration_id="new",
    ),
    _row(
        "a TPM that nobody enrolled",
        lambda w: w.register("new", body={"tpm": {"endorsementKey": "AAEA", "storageRootKey": "AAEA"}}),
        (404, 404201, "Enrollment not found."),
        "not-enrolled",
        "no individual enrollment",
        "Create an individual enrollment",
        registration_id="new",
    ),
    _row(
        "a certificate signing request",
        lambda w: w.signed("device", KEY, body={"csr": "MIIB"}, version="2025-07-01-preview"),
        (400, 400004, "Device sent CSR but it is not configured in the service."),
        "csr-not-signed",
        "sent a CSR",
        "without a certificate signing request",
        INDIVIDUAL,
        "proved by symmetricKey, primary",
    ),
    _row(
        "a disabled enrollment",
        _disabled,
        (202, "disabled", None),
        "enrollment-disabled",
        "the individual enrollment 'device' is disabled",
        "Enable the individual enrollment device",
        INDIVIDUAL,
    ),
    _row(
        "a disabled group",
        _disabled_group,
        (202, "disabled", None),
        "group-disabled",
        "the enrollment group 'fleet' is disabled",
        "Enable the enrollment group fleet",
        ("fleet", "group"),
        registration_id="new",
    ),
    _row(
        "no hub that may take it",
        _elsewhere,
        (202, "failed", 400208),
        "no-hub",
        "No IoT hub is available",
        "Link a hub",
        INDIVIDUAL,
    ),
    _row(
        "custom allocation",
        _custom,
        (202, "failed", 400207),
        "custom-allocation",
        "Custom allocation",
        "another allocation policy",
        INDIVIDUAL,
    ),
)

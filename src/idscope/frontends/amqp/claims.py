"""Owns what a connection claims, made of what a client said in SASL or of its certificate, and asks the workflow about
it. It must not know how anything was said, nor what becomes of the verdict."""

from __future__ import annotations

import base64
import logging

import msgspec

from idscope.attestation import Authenticated, Challenge, Claim, Refused
from idscope.clock import Clock
from idscope.errors import IdscopeError, InternalError
from idscope.events import Wire
from idscope.frontends.amqp.provisioning import Identity, parse_address
from idscope.frontends.http.answers import new_tracking_id
from idscope.model.api_version import CURRENT, ApiVersion
from idscope.model.attestation import TpmAttestation
from idscope.protocols.amqp.mechanisms import Password, Presented, TpmKeys, TpmToken
from idscope.registration import RegistrationWorkflow
from idscope.secret import Secret

_log = logging.getLogger(__name__)


class AmqpUseCases(msgspec.Struct, frozen=True):
    """`retry_after`: seconds, an integer from 2 to 5, the only range that all clients treat alike."""

    workflow: RegistrationWorkflow
    clock: Clock
    retry_after: int = 2
    strict_api_versions: bool = False


class Peer(msgspec.Struct, frozen=True):
    """The other side, as the transport knows it; `chain` is DER, leaf first."""

    address: str
    wire: Wire
    chain: tuple[bytes, ...] = ()

    def claim(self, identity: Identity, version: ApiVersion) -> Claim:
        """To be that device, by the certificate if there is one."""
        return Claim(
            id_scope=identity.id_scope,
            registration_id=identity.registration_id,
            api_version=version,
            wire=self.wire,
            peer=self.address,
            tracking_id=new_tracking_id(),
            chain=self.chain,
        )


async def authenticate(use_cases: AmqpUseCases, claim: Claim) -> Authenticated | Challenge | IdscopeError:
    """The device, or what it is told instead; raises nothing."""
    try:
        verdict = await use_cases.workflow.authenticate(claim)
    except IdscopeError as error:
        return error
    except Exception:  # noqa: BLE001  the catch-all beneath the one place that turns errors into outcomes
        _log.exception("a claim could not be judged, trackingId %s", claim.tracking_id)
        return InternalError()
    return verdict.error if isinstance(verdict, Refused) else verdict


def sasl_claim(peer: Peer, said: Presented | TpmKeys, nonce: Secret) -> Claim:
    """What a client claims in SASL; `nonce` is the connection's, for a TPM. Raises RouteNotFound where that names no
    device.

    Which api-version is spoken is told by the links: each request is asked with theirs.
    """
    if isinstance(said, Password):
        claim = peer.claim(parse_address(said.identity), CURRENT)
        return msgspec.structs.replace(claim, sas=Secret(said.password))
    keys = said if isinstance(said, TpmKeys) else said.keys
    return msgspec.structs.replace(
        peer.claim(Identity(keys.scope, keys.name), CURRENT),
        chain=(),  # a certificate is shown without SASL
        sas=Secret(said.token) if isinstance(said, TpmToken) else None,
        tpm=TpmAttestation(
            endorsement_key=base64.b64encode(keys.endorsement_key).decode(),
            storage_root_key=base64.b64encode(keys.storage_root_key).decode(),
        ),
        nonce=nonce,
    )

"""Owns the check of a service's or hub's shared access signature: audience, policy, signature, expiry, right.
It must not know which operation asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from idscope.access.caller import Caller
from idscope.directory import AccessPolicy, Right
from idscope.errors import IdscopeError
from idscope.security.sas import SasRefused, SasToken, check_expiry, parse_sas, signed_with

# The right on the left contains those on the right; the built-in owner has every right of its kind.
CONTAINS: Mapping[Right, frozenset[Right]] = {
    Right.ENROLLMENT_WRITE: frozenset({Right.ENROLLMENT_READ}),
    Right.REGISTRATION_STATUS_WRITE: frozenset({Right.REGISTRATION_STATUS_READ}),
    Right.REGISTRY_WRITE: frozenset({Right.REGISTRY_READ}),
}


def admit_service_caller(
    authorization: str | None,
    policies: Mapping[str, AccessPolicy],
    host_names: Iterable[str],
    target_path: str,
    now: int,
    right: Right | None,
    error: type[IdscopeError],
) -> Caller:
    """Who signed the token, if he may do it. Raises `error`: a stranger learns nothing but that, while one who proved
    a policy is told which right it lacks."""
    try:
        caller = _authenticated(authorization, policies, host_names, target_path, now)
    except SasRefused as refused:
        raise error(reason=str(refused)) from None
    if right is not None and right not in caller.rights:
        raise error(f"Unauthorized: the shared access policy '{caller.name}' lacks the right {right.value}.")
    return caller


def _authenticated(
    authorization: str | None,
    policies: Mapping[str, AccessPolicy],
    host_names: Iterable[str],
    target_path: str,
    now: int,
) -> Caller:
    """Raises SasRefused, whose text is for the operator only."""
    if not authorization:
        raise SasRefused("no Authorization header was sent")
    token = parse_sas(authorization)
    policy = policies.get(token.key_name)
    if policy is None:
        raise SasRefused(f"there is no shared access policy {token.key_name[:100]!r}")
    if not _covers(token, host_names, target_path):
        raise SasRefused(f"the audience {token.resource[:200]!r} is not of this service")
    if not (signed_with(token, policy.primary_key) or signed_with(token, policy.secondary_key)):
        raise SasRefused(f"the signature was made with neither key of the policy {policy.name!r}")
    check_expiry(token, now)
    return Caller(policy.name, every_right(policy.rights))


def every_right(rights: Iterable[Right]) -> frozenset[Right]:
    """The rights with those that they contain."""
    given = frozenset(rights)
    return given.union(*(CONTAINS.get(right, frozenset()) for right in given))


def _covers(token: SasToken, host_names: Iterable[str], target_path: str) -> bool:
    """Whether the audience is a prefix, by segment, of one of the names followed by the path; without case.

    Clients sign the bare host, the host with its port, or (a URL given as the endpoint) `https://` and the host.
    """
    audience = token.resource.lower().removeprefix("https://").removeprefix("amqps://").rstrip("/")
    host, _, path = audience.partition("/")
    name, _, port = host.rpartition(":")
    bare = name if name and port.isdigit() and not name.endswith(":") else host
    if bare.strip("[]") not in host_names:
        return False
    target = unquote(target_path).strip("/").lower()
    return not path or target == path or target.startswith(path + "/")

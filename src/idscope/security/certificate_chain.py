"""Owns the ways up from a leaf: who signed whom, among what was presented and what is known here. It must not know
what makes a way acceptable, nor whom it leads to.

Issuers are found by their key: whose key made the signature. Names and key identifiers say only whom to try first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from idscope.security.chain_certificate import (
    ChainCertificate,
    ChainRefused,
    NormalName,
    is_signed_by,
    read_chain_certificate,
)
from idscope.security.chain_signature import signature_work

Path = tuple[ChainCertificate, ...]

_CACHED_BYTES: Final = 8 * 1024  # what is longer is no ordinary certificate, and is read anew each time


class ChainLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at before a chain is refused unread, and how much work one chain may make.

    `signature_work`: in units of an ordinary signature check. `strangers`: how many known certificates are tried for
    one signature that neither name nor key identifier hints at.
    """

    certificates: int = 20
    total_bytes: int = 100 * 1024
    depth: int = 12
    signature_checks: int = 128
    signature_work: int = 512
    strangers: int = 16
    paths: int = 64


LIMITS: Final = ChainLimits()


def read_chain(chain: tuple[bytes, ...], limits: ChainLimits = LIMITS) -> Path:
    """The certificates as presented, leaf first. Raises ChainRefused."""
    if not chain:
        raise ChainRefused("no certificate was sent")
    if len(chain) > limits.certificates:
        raise ChainRefused(f"more than {limits.certificates} certificates were sent")
    if sum(map(len, chain)) > limits.total_bytes:
        raise ChainRefused(f"the certificates sent are longer than {limits.total_bytes} bytes")
    leaf, *others = chain
    return (_read(leaf, _leaves), *(_read(each, _issuers) for each in others))


# Many devices send the same few issuers. A leaf is seen again soon or never, in the next request of its device, and
# must not push the issuers out.
_issuers = lru_cache(maxsize=512)(read_chain_certificate)
_leaves = lru_cache(maxsize=64)(read_chain_certificate)
_is_issued_by = lru_cache(maxsize=2048)(is_signed_by)
_is_leaf_issued_by = lru_cache(maxsize=256)(is_signed_by)


def _read(der: bytes, kept: Callable[[bytes], ChainCertificate]) -> ChainCertificate:
    return kept(der) if len(der) <= _CACHED_BYTES else read_chain_certificate(der)


class CertificatePool:
    """Certificates that are known here, found by name or key identifier; one certificate stands in it once."""

    def __init__(self, certificates: Iterable[ChainCertificate] = ()) -> None:
        self.certificates: Path = tuple({each.thumbprint: each for each in certificates}.values())
        self._by_subject: dict[NormalName, list[ChainCertificate]] = {}
        self._by_key_identifier: dict[bytes, list[ChainCertificate]] = {}
        for each in self.certificates:
            self._by_subject.setdefault(each.subject, []).append(each)
            if each.key_identifier:
                self._by_key_identifier.setdefault(each.key_identifier, []).append(each)

    def hinted(self, child: ChainCertificate) -> list[ChainCertificate]:
        """Those to which the child's issuer name or authority key identifier points."""
        by_key = self._by_key_identifier.get(child.authority_key_identifier or b"", [])
        return [*by_key, *(each for each in self._by_subject.get(child.issuer, []) if each not in by_key)]


class ChainPaths:
    """The ways up from one leaf, each as far as it leads; work is bounded by the limits."""

    def __init__(
        self, leaf: ChainCertificate, presented: Iterable[ChainCertificate], known: CertificatePool, limits: ChainLimits
    ) -> None:
        self._leaf = leaf
        self._presented = CertificatePool(presented)
        self._known = known
        self._limits = limits
        self._checks = self._work = 0
        self._issuers: dict[str, Path] = {}

    def all(self) -> tuple[Path, ...]:
        """At least one: the leaf alone. Raises ChainRefused where there are too many of them to be looked at."""
        found: list[Path] = []
        for path in self._walk((self._leaf,)):
            found.append(path)
            if len(found) > self._limits.paths:
                raise ChainRefused(f"the certificates sent make more than {self._limits.paths} chains")
        return tuple(found)

    def _walk(self, path: Path) -> Iterator[Path]:
        """No key stands twice in one path, so that certificates which sign each other end it."""
        keys = {each.key for each in path}
        above = [each for each in self._issuers_of(path[-1]) if each.key not in keys]
        if not above:
            yield path
        elif len(path) >= self._limits.depth:
            raise ChainRefused(f"the chain is longer than {self._limits.depth} certificates")
        for each in above:
            yield from self._walk((*path, each))

    def _issuers_of(self, child: ChainCertificate) -> Path:
        found = self._issuers.get(child.thumbprint)
        if found is None:
            found = self._issuers[child.thumbprint] = self._find_issuers(child)
        return found

    def _find_issuers(self, child: ChainCertificate) -> Path:
        """Those presented first, in their order. Strangers are tried only where no hint leads further."""
        hinted = _unique([*self._presented.hinted(child), *self._known.hinted(child)])
        found = [each for each in hinted if self._signed(child, each)]
        if not found:
            tried = {each.thumbprint for each in hinted}
            strangers = [*self._presented.certificates, *self._known.certificates[: self._limits.strangers]]
            found = [each for each in _unique(strangers) if each.thumbprint not in tried and self._signed(child, each)]
        return tuple(found)

    def _signed(self, child: ChainCertificate, issuer: ChainCertificate) -> bool:
        self._checks += 1
        if self._checks > self._limits.signature_checks:
            raise ChainRefused(f"the chain needs more than {self._limits.signature_checks} signature checks")
        self._work += signature_work(issuer.public_key)
        if self._work > self._limits.signature_work:
            raise ChainRefused("the chain needs signature checks that take too long")
        return _is_leaf_issued_by(child, issuer) if child is self._leaf else _is_issued_by(child, issuer)


def _unique(certificates: Iterable[ChainCertificate]) -> Path:
    return tuple({each.thumbprint: each for each in certificates}.values())


def find_paths(
    leaf: ChainCertificate,
    presented: Iterable[ChainCertificate],
    known: CertificatePool,
    limits: ChainLimits = LIMITS,
) -> tuple[Path, ...]:
    """The ways up from the leaf, each as far as it leads, the nearest issuers first. Raises ChainRefused."""
    return ChainPaths(leaf, presented, known, limits).all()

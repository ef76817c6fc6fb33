"""Owns the api-version: its grammar, its order, the published list. It must not know what differs by version
beyond the one table of members newer than 2021-10-01."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

import msgspec

from idscope.errors import UnsupportedApiVersion

_GRAMMAR: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(-preview)?\Z", re.ASCII)

# Every version that a published document or SDK names (facts: "which api-versions exist").
PUBLISHED: Final = (
    "2017-08-31-preview",
    "2017-11-15",
    "2018-04-01",
    "2018-09-01-preview",
    "2018-11-01",
    "2019-03-31",
    "2021-06-01",
    "2021-10-01",
    "2021-11-01-preview",
    "2025-07-01-preview",
    "2026-04-01",
    "2026-07-01-preview",
    "2026-11-01",
    "2026-11-02-preview",
    "2026-11-15-preview",
)


# The same of the control plane (ARM).
CONTROL_PLANE_PUBLISHED: Final = (
    "2017-08-21-preview",
    "2017-11-15",
    "2018-01-22",
    "2020-01-01",
    "2020-03-01",
    "2020-09-01-preview",
    "2021-10-15",
    "2022-02-05",
    "2022-12-12",
    "2023-03-01-preview",
    "2025-02-01-preview",
    "2026-03-01-preview",
    "2026-04-01",
    "2026-06-01-preview",
    "2026-08-01",
    "2026-11-01",
)


class ApiVersion(msgspec.Struct, frozen=True, order=True):
    """`YYYY-MM-DD` with an optional `-preview`, which comes before its own date's stable version."""

    day: str
    stable: bool = True

    def __str__(self) -> str:
        return self.day if self.stable else f"{self.day}-preview"


def parse_api_version(text: str | None) -> ApiVersion:
    """Raises UnsupportedApiVersion where the text is absent, empty or no date."""
    match = _GRAMMAR.match(text) if text else None
    if match is None:
        raise UnsupportedApiVersion("The api-version query parameter is missing or not of the form YYYY-MM-DD.")
    try:
        date.fromisoformat(match[1])
    except ValueError:
        raise UnsupportedApiVersion(f"The api-version '{text}' is no date.") from None
    return ApiVersion(match[1], match[2] is None)


CURRENT: Final = parse_api_version("2021-10-01")

CSR_SINCE: Final = parse_api_version("2025-07-01-preview")

# Members newer than 2021-10-01, by wire name; older versions do not see them. All others are in every version.
SINCE: Final = {
    "csr": CSR_SINCE,
    "issuedCertificateChain": CSR_SINCE,
    "credentialPolicyName": parse_api_version("2025-07-01-preview"),
    "namespaceName": parse_api_version("2026-11-01"),
    "certificateAuthorityName": parse_api_version("2026-11-01"),
    "certificatePolicyName": parse_api_version("2026-11-01"),
}


def check_published(version: ApiVersion, published: tuple[str, ...] = PUBLISHED) -> None:
    """Raises UnsupportedApiVersion where no published document or SDK names the version."""
    if str(version) not in published:
        raise UnsupportedApiVersion(
            f"The api-version '{version}' is not supported. Supported versions: {', '.join(published)}."
        )

"""Owns the registry of allocation policies, one visible table. It must not know any policy's rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from idscope.allocation.custom import allocate_custom
from idscope.allocation.geo_latency import allocate_geo_latency
from idscope.allocation.hashed import allocate_hashed
from idscope.allocation.request import AllocationRequest
from idscope.allocation.static import allocate_static
from idscope.errors import NoHubAvailable
from idscope.model.enrollment import AllocationPolicy

POLICIES: Final[Mapping[AllocationPolicy, Callable[[AllocationRequest], str]]] = {
    "hashed": allocate_hashed,
    "geoLatency": allocate_geo_latency,
    "static": allocate_static,
    "custom": allocate_custom,
}


def allocate(policy: AllocationPolicy, request: AllocationRequest) -> str:
    """The hub_id of the chosen hub. Raises NoHubAvailable, CustomAllocationFailed."""
    if not request.hubs and policy != "custom":
        raise NoHubAvailable
    return POLICIES[policy](request)

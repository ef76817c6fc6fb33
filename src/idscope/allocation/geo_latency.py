"""Owns the policy `geoLatency`: the closest hub. It must not know how latency is measured.

Only the case without a choice is decided here; with several hubs the registration fails rather than being assigned
by another rule than the one asked for.
"""

from __future__ import annotations

from idscope.allocation.request import AllocationRequest
from idscope.errors import NoHubAvailable


def allocate_geo_latency(request: AllocationRequest) -> str:
    """Raises NoHubAvailable where there is more than one hub to choose from."""
    if len(request.hubs) > 1:
        raise NoHubAvailable(
            "The allocation policy 'geoLatency' cannot choose between several IoT hubs in this version."
        )
    return request.hubs[0].hub_id

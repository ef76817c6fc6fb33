"""Owns the policy `static`: the hub that the enrollment names. It must not know how many hubs are linked.

Without a named hub any linked one will do (observed: `static` with `iotHubs` null is accepted and assigned).
"""

from __future__ import annotations

from idscope.allocation.hashed import allocate_hashed
from idscope.allocation.request import AllocationRequest
from idscope.errors import NoHubAvailable


def allocate_static(request: AllocationRequest) -> str:
    """Raises NoHubAvailable where several hubs are named: then nothing says which."""
    if request.named and len(request.hubs) > 1:
        raise NoHubAvailable("The allocation policy 'static' needs exactly one IoT hub in iotHubs.")
    return allocate_hashed(request)

"""Owns the policy `custom`: the answer of a webhook. It must not fall back to another policy."""

from __future__ import annotations

from idscope.allocation.request import AllocationRequest
from idscope.errors import CustomAllocationFailed


def allocate_custom(_: AllocationRequest) -> str:
    """Raises CustomAllocationFailed: this version calls no webhook, and never assigns silently without one."""
    raise CustomAllocationFailed("Custom allocation is not available in this version.", lasting=True)

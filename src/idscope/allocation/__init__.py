"""Which hub a device goes to. Pure: the device's key and the hubs that may take it go in, one hub comes out."""

from idscope.allocation.policy import allocate
from idscope.allocation.request import AllocationRequest, CandidateHub

__all__ = ["AllocationRequest", "CandidateHub", "allocate"]

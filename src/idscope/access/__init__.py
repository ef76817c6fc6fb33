"""Who calls, and may he."""

from idscope.access.admin_token import authenticate_admin
from idscope.access.caller import Caller
from idscope.access.service_sas import admit_service_caller

__all__ = ["Caller", "admit_service_caller", "authenticate_admin"]

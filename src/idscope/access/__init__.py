"""Who calls, and may he."""

from idscope.access.admin_token import authenticate_admin
from idscope.access.caller import Caller
from idscope.access.service_sas import authenticate_service_caller, check_right

__all__ = ["Caller", "authenticate_admin", "authenticate_service_caller", "check_right"]

"""The service API's use cases: enrollments of both kinds, and the registrations that came of them."""

from idscope.enrollments.bulk import run_bulk_operation
from idscope.enrollments.enrollments import Enrollments
from idscope.enrollments.kinds import GROUP, INDIVIDUAL
from idscope.enrollments.query import Page
from idscope.enrollments.registration_states import RegistrationStates

__all__ = ["GROUP", "INDIVIDUAL", "Enrollments", "Page", "RegistrationStates", "run_bulk_operation"]

"""Registering a device: the three verbs, and everything between an authenticated device and a finished result."""

from idscope.registration.attempts import AttemptRecorder
from idscope.registration.explanation import Explanations
from idscope.registration.operation_id import OperationIds
from idscope.registration.states import RegisterRequest, RegistrationResult, WorkflowSettings
from idscope.registration.workflow import RegistrationWorkflow

__all__ = [
    "AttemptRecorder",
    "Explanations",
    "OperationIds",
    "RegisterRequest",
    "RegistrationResult",
    "RegistrationWorkflow",
    "WorkflowSettings",
]

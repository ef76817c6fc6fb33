"""How enrollments, CA certificates and registrations are written into rows and read back, secrets sealed on the way."""

from idscope.records.ca_certificate import (
    CaCertificateRecord,
    ca_certificate_key,
    ca_certificate_row,
    read_ca_certificate,
)
from idscope.records.enrollment import (
    EnrollmentRecord,
    GroupRecord,
    IndividualRecord,
    enrollment_row,
    group_row,
    read_enrollment,
    read_group,
    symmetric_keys,
)
from idscope.records.registration import (
    Placement,
    RegistrationRecord,
    TpmResult,
    device_result,
    read_registration,
    registration_row,
    registration_state,
)

__all__ = [
    "CaCertificateRecord",
    "EnrollmentRecord",
    "GroupRecord",
    "IndividualRecord",
    "Placement",
    "RegistrationRecord",
    "TpmResult",
    "ca_certificate_key",
    "ca_certificate_row",
    "device_result",
    "enrollment_row",
    "group_row",
    "read_ca_certificate",
    "read_enrollment",
    "read_group",
    "read_registration",
    "registration_row",
    "registration_state",
    "symmetric_keys",
]

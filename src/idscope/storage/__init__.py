"""What is kept, and the one way to keep it: rows, units of writes, and the store's small interface."""

from idscope.storage.rows import (
    AccessPolicyRow,
    AttemptRow,
    CertificateThumbprintRow,
    EmbeddedHubRow,
    EnrollmentRow,
    HubDeviceRow,
    HubTwinRow,
    Key,
    LinkedHubRow,
    OperationRow,
    ProvisioningServiceRow,
    RegistrationRow,
    Row,
    ServerRow,
    key_of,
)
from idscope.storage.store import ExpectationFailed, Store, StoreUnavailable
from idscope.storage.unit import Delete, Put, Trim, Unit, Write

__all__ = [
    "AccessPolicyRow",
    "AttemptRow",
    "CertificateThumbprintRow",
    "Delete",
    "EmbeddedHubRow",
    "EnrollmentRow",
    "ExpectationFailed",
    "HubDeviceRow",
    "HubTwinRow",
    "Key",
    "LinkedHubRow",
    "OperationRow",
    "ProvisioningServiceRow",
    "Put",
    "RegistrationRow",
    "Row",
    "ServerRow",
    "Store",
    "StoreUnavailable",
    "Trim",
    "Unit",
    "Write",
    "key_of",
]

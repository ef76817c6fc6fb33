"""Which provisioning services and hubs this server holds, as one immutable snapshot per revision."""

from idscope.directory.directory import Directory
from idscope.directory.snapshot import (
    AccessPolicy,
    EmbeddedHub,
    LinkedHub,
    ProvisioningService,
    Right,
    Snapshot,
)

__all__ = ["AccessPolicy", "Directory", "EmbeddedHub", "LinkedHub", "ProvisioningService", "Right", "Snapshot"]

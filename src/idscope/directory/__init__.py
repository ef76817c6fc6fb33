"""Which provisioning services and hubs this server holds, as one immutable snapshot per revision."""

from idscope.directory.snapshot import (
    AccessPolicy,
    EmbeddedHub,
    LinkedHub,
    ProvisioningService,
    Right,
    Snapshot,
)

__all__ = ["AccessPolicy", "EmbeddedHub", "LinkedHub", "ProvisioningService", "Right", "Snapshot"]

"""The use cases of a provisioning service's own resources; in this version its CA certificates."""

from idscope.control_plane.ca_certificates import CaCertificates

__all__ = ["CaCertificates"]

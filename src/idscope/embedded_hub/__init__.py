"""The small IoT hub for laptops and tests: device identities, twins, and the traffic of connected devices."""

from idscope.embedded_hub.bulk import BulkRegistry
from idscope.embedded_hub.delivery import Delivery
from idscope.embedded_hub.device_access import DeviceAccess
from idscope.embedded_hub.identities import Identities
from idscope.embedded_hub.telemetry import Telemetry
from idscope.embedded_hub.twins import Twins

__all__ = ["BulkRegistry", "Delivery", "DeviceAccess", "Identities", "Telemetry", "Twins"]

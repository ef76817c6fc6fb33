"""The small IoT hub for laptops and tests: device identities and their twins, over the store."""

from idscope.embedded_hub.bulk import BulkRegistry
from idscope.embedded_hub.identities import Identities
from idscope.embedded_hub.twins import Twins

__all__ = ["BulkRegistry", "Identities", "Twins"]

"""IoT hubs as the provisioning service sees them: one small interface, one implementation per kind of hub."""

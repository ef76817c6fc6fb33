"""MQTT as a front end: one connection, and the provisioning service behind it."""

"""The AMQP 1.0 front end: devices over TLS or inside a WebSocket, to the three verbs of the workflow."""

"""WebSocket framing (RFC 6455) from the server's side, without I/O: `frames`."""

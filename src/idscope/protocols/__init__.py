"""Owns protocol machines without I/O: bytes in, events and bytes out. It must not know a socket, an event loop, or a
word of provisioning."""

"""The HTTP front end: the protocol, the table of operations, and one file per API."""

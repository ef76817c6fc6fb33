"""Pure functions over credentials and secrets: no socket, no store, no clock of their own."""

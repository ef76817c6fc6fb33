"""One module for each of Microsoft's Python SDKs; a module's public functions are what the tests may ask of it."""

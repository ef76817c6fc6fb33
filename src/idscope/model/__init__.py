"""The service's documents and words, each declared once. Pure and synchronous."""

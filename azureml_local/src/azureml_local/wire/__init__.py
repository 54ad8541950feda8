"""The REST protocol: routes and JSON shapes, and nothing that does the work."""

"""The page at the interface's port: how services and releases stand, drawn by the server, for a browser."""

"""The processes of a replica: their life, the link between them, the resources they may use."""

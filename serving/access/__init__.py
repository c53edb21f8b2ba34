"""Access to a replica: bearer tokens or an issuer's JWTs, limits per client, and a log of who asked that holds no
texts."""

"""Who may ask: bearer tokens or an issuer's JWTs, limits per client, and a log of who asked that holds no texts."""

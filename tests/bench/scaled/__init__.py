"""From one replica as measured to a service of 10,000 requests a second, as a simulation."""

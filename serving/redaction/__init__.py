"""Personal data and secrets are taken out of texts before these leave the process."""

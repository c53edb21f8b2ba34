"""What an installation is told: settings and policy files."""

"""The ways by which people are told: each is one channel (`controller.ports.notices.Channel`)."""

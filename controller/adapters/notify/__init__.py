"""The ways in which people are notified: each is a channel (`controller.ports.notices.Channel`)."""

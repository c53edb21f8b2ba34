"""Ports that are chosen for the programs of an installation."""

from controller.adapters.local.loopback import free_ports


def test_ports_that_are_chosen_together_are_each_another_one() -> None:
    """Chosen one after the other, two were the same in a run of the tests: `serin up` ended before it began."""
    found = free_ports(200)
    assert len(set(found)) == len(found) == 200

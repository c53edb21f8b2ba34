"""What every leadership must do. Run by a subclass with a fixture that gives each controller an object of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from controller.errors import ConflictError
from controller.ports.leadership import Held, Leadership, Lease

LEASE_S = 10.0


@dataclass
class Monotonic:
    """A clock that a test moves on."""

    at_s: float = 1_000.0

    def __call__(self) -> float:
        return self.at_s


Controllers = Callable[[], Leadership]  # one more controller of the same database


def taken(found: Lease | Held) -> Lease:
    assert isinstance(found, Lease)
    return found


class LeadershipContract:
    def test_the_first_who_asks_leads_and_the_others_are_told_who(self, controllers: Controllers) -> None:
        """Whatever they are called, and however often they ask."""
        one, other = controllers(), controllers()
        lease = taken(one.acquire("one", lease_s=LEASE_S))
        assert (lease.holder, lease.lease_s) == ("one", LEASE_S)
        assert [other.acquire(name, lease_s=LEASE_S) for name in ("other", "third", "other")] == [Held("one")] * 3

    def test_who_gives_a_beat_in_time_keeps_it(self, controllers: Controllers, monotonic: Monotonic) -> None:
        """For as long as it lives."""
        one, other = controllers(), controllers()
        lease = taken(one.acquire("one", lease_s=LEASE_S))
        for _ in range(8):
            assert other.acquire("other", lease_s=LEASE_S) == Held("one")
            monotonic.at_s += LEASE_S * 0.9
            one.renew(lease)

    def test_who_gives_none_loses_it_after_the_time_that_it_promised(
        self, controllers: Controllers, monotonic: Monotonic
    ) -> None:
        """Counted from when the next one first saw it: not a moment earlier, whatever lease that one asks for."""
        one, other = controllers(), controllers()
        lease = taken(one.acquire("one", lease_s=LEASE_S))
        monotonic.at_s += 5 * LEASE_S  # nobody has looked yet
        assert other.acquire("other", lease_s=0.1) == Held("one")
        monotonic.at_s += LEASE_S - 0.001
        assert other.acquire("other", lease_s=0.1) == Held("one")
        monotonic.at_s += 0.001
        later = taken(other.acquire("other", lease_s=LEASE_S))
        assert later.fence > lease.fence

    def test_one_that_wakes_up_has_lost_it(self, controllers: Controllers, monotonic: Monotonic) -> None:
        """It may neither renew nor give back what is another's now."""
        one, other, third = controllers(), controllers(), controllers()
        lease = taken(one.acquire("one", lease_s=LEASE_S))
        other.acquire("other", lease_s=LEASE_S)
        monotonic.at_s += LEASE_S
        later = taken(other.acquire("other", lease_s=LEASE_S))
        with pytest.raises(ConflictError, match="one"):
            one.renew(lease)
        one.release(lease)
        assert third.acquire("third", lease_s=LEASE_S) == Held("other")
        other.renew(later)

    def test_a_lease_that_was_given_back_is_free_at_once(self, controllers: Controllers) -> None:
        """A planned restart makes nobody wait; the old fence is no longer good."""
        one, other = controllers(), controllers()
        lease = taken(one.acquire("one", lease_s=LEASE_S))
        one.release(lease)
        assert taken(other.acquire("other", lease_s=LEASE_S)).fence > lease.fence
        with pytest.raises(ConflictError):
            one.renew(lease)

    def test_one_that_starts_again_goes_on_under_its_name(self, controllers: Controllers) -> None:
        """Its predecessor was killed: it waits for nobody, and what the predecessor still writes is refused."""
        lease = taken(controllers().acquire("one", lease_s=LEASE_S))
        again = controllers()
        assert taken(again.acquire("one", lease_s=LEASE_S)).fence > lease.fence
        with pytest.raises(ConflictError):
            again.renew(lease)

    def test_a_beat_seen_by_one_who_waits_starts_its_patience_anew(
        self, controllers: Controllers, monotonic: Monotonic
    ) -> None:
        """A holder that is slow, but lives, is not robbed."""
        one, other = controllers(), controllers()
        lease = taken(one.acquire("one", lease_s=LEASE_S))
        other.acquire("other", lease_s=LEASE_S)
        monotonic.at_s += LEASE_S - 1.0
        one.renew(lease)
        monotonic.at_s += 2.0
        assert other.acquire("other", lease_s=LEASE_S) == Held("one")

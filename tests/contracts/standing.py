"""The contract of the standing queue: on the store and on the fake alike."""

from controller.ports.samples import SampleIntake
from controller.ports.standing import StandingRequests
from tests.contracts.samples import live, shadow, truth


def asked(store: StandingRequests, *, since_s: float = 0.0, limit: int = 10) -> list[str]:
    found = store.standing_requests("intent", "6", since_s=since_s, limit=limit)
    return [one.request_id for one in found]


class StandingContract:
    def test_it_asks_for_live_answers_of_the_version_whose_text_is_kept(
        self, samples: SampleIntake, standing: StandingRequests
    ) -> None:
        """With the text, what was answered, and the probability of being chosen."""
        chosen = {"text": "help", "text_digest": "05aa"}
        samples.add_predictions(
            [
                live("a", **chosen),
                live("b", text_digest="06aa"),
                live("c", text="not chosen", text_digest="90aa"),
                live("d", version="7", text="another version's", text_digest="07aa"),
                live("e", model="tone", text="another model's", text_digest="08aa"),
                shadow("f", version="6", text="a copy", text_digest="09aa"),
            ]
        )
        (one,) = standing.standing_requests("intent", "6", since_s=0.0, limit=10)
        assert (one.request_id, one.text, dict(one.answers), one.directed) == ("a", "help", {"6": "refund"}, False)
        assert one.inclusion_probability == 26 / 256

    def test_a_text_is_asked_for_once(self, samples: SampleIntake, standing: StandingRequests) -> None:
        """The newest request with it, and none once one of them is labelled."""
        for request in "ab":
            samples.add_predictions([live(request, text="help", text_digest="05aa")])
        assert asked(standing) == ["b"]
        samples.add_labels([truth("a")])
        assert asked(standing) == []

    def test_what_was_asked_for_before_need_not_come_again(
        self, samples: SampleIntake, standing: StandingRequests
    ) -> None:
        """Whoever asks from time to time says since when; and no more than asked for."""
        for number, request in enumerate("abc"):
            samples.add_predictions([live(request, text="t", text_digest=f"0{number}aa", at_s=50.0 + number)])
        assert asked(standing) == ["a", "b", "c"]
        assert asked(standing, since_s=51.0) == ["b", "c"]
        assert asked(standing, limit=1) == ["a"]

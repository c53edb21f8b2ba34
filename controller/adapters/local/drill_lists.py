"""Lists of long texts, one after another as any client could send them, with short texts beside them: which of them
wait."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from controller.adapters.local.drill_requests import Answered, asked
from controller.core.drills import Batches, Check
from controller.errors import UsageError
from gates.outcome import Outcome

TEXTS: Final = 64
CHARS: Final = 2_000
_TEXTS_FIRST: Final = 8
_TIMEOUT_S: Final = 60.0
_BESIDE_MIN: Final = 8  # fewer tell nothing
_BEFORE_RATIO: Final = 0.5  # one that comes when a list is almost done need not be before it
_REFUSED_MS_MAX: Final = 1_000.0
_REFUSALS: Final = frozenset({"429", "503"})
_GROWN: Final = 2.0  # times what it was


@dataclass
class LongLists:
    """``batches``: what is measured of calls and queues now; None where nothing is. One list at a time is under way,
    which is to take ``list_ms_max`` at most: so long somebody else's long text waits for it."""

    url: str
    text: str
    headers: Mapping[str, str]
    batches: Callable[[], Batches | None]
    texts: int = TEXTS
    chars: int = CHARS
    list_ms_max: float = 2_000.0
    between_s: float = 0.2
    short_every_s: float = 0.05
    _long: str = ""
    _lists: list[Answered] = field(default_factory=list)
    _short: list[Answered] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _before: Batches | None = None
    _told: bool = False

    @property
    def targets(self) -> Sequence[str]:
        return [f"lists of up to {self.texts} texts of {self.chars:,} characters to {self.url}"]

    def begin(self) -> str:
        self._before = self.batches()
        self._long = (f"{self.text} " * (self.chars // (len(self.text) + 1) + 1))[: self.chars].strip()
        self.texts = self._fitting()
        self._threads = [threading.Thread(target=one, name="drill") for one in (self._send_lists, self._send_short)]
        for one in self._threads:
            one.start()
        return f"lists of {self.texts} texts of {len(self._long):,} characters are sent one after another"

    def _fitting(self) -> int:
        """Return how many texts a list may have to be taken, and answered soon."""
        texts, most = min(_TEXTS_FIRST, self.texts), self.texts
        while (found := self._asked_list(texts)).how != "200":
            if texts == 1:
                raise UsageError(f"a text of {len(self._long):,} characters is not answered: {found.how} {found.said}")
            texts = most = texts // 2
        return max(1, min(most, int(texts * self.list_ms_max / found.took_ms)))

    def _asked_list(self, texts: int) -> Answered:
        return asked(self.url, {"texts": [self._long] * texts}, self.headers, timeout_s=_TIMEOUT_S)

    def _send_lists(self) -> None:
        while not self._over.wait(self.between_s):
            self._lists.append(self._asked_list(self.texts))

    def _send_short(self) -> None:
        while not self._over.wait(self.short_every_s):
            self._short.append(asked(self.url, {"text": self.text}, self.headers, timeout_s=_TIMEOUT_S))

    def end(self) -> None:
        self._over.set()
        for one in self._threads:
            one.join()

    def broken_off(self) -> str:
        return ""

    def told(self) -> Sequence[str]:
        now, before = self.batches(), self._before or Batches()
        if self._told or now is None:
            return ()
        if now.texts <= max(1.0, _GROWN * before.texts) and now.waiting <= max(1.0, _GROWN * before.waiting):
            return ()
        self._told = True
        calls = f"a call of the engine has {now.texts:.1f} texts on average ({before.texts:.1f} before)"
        return (f"{calls}, and up to {now.waiting:.0f} requests waited ({before.waiting:.0f} before)",)

    def is_over(self) -> bool:
        return self._over.is_set()

    def checks(self) -> Sequence[Check]:
        return (self._overtaken(), self._refused())

    def _overtaken(self) -> Check:
        promise = "A short text overtakes long ones that wait"
        lists = [one for one in tuple(self._lists) if one.how == "200"]
        short = [one for one in tuple(self._short) if one.how == "200"]
        beside = [(one, of) for one in short for of in lists if of.began_s < one.began_s < of.ended_s]
        if len(beside) < _BESIDE_MIN:
            found = f"Only {len(beside)} short texts that arrived during a list were answered: too few."
            return Check(promise, Outcome.INCONCLUSIVE, found)
        before = sum(one.ended_s < of.ended_s for one, of in beside)
        kind = Outcome.PASS if before >= _BEFORE_RATIO * len(beside) else Outcome.FAIL
        found = f"Of {len(beside):,} that arrived during a list {before:,} were answered before it"
        p50_ms, list_ms = median(one.took_ms for one, _ in beside), median(one.took_ms for one in lists)
        return Check(promise, kind, f"{found}: the median was {p50_ms:,.0f} ms, and {list_ms:,.0f} ms for lists.")

    def _refused(self) -> Check:
        promise = "Every request is answered, or refused at once and told when to come again"
        both = (*self._lists, *self._short)
        others = Counter(one.how for one in both if one.how != "200" and not _is_refused_well(one))
        answered = sum(one.how == "200" for one in both)
        refused = len(both) - answered - others.total()
        if others:
            how = ", ".join(f"{times} times {how}" for how, times in sorted(others.items()))
            return Check(promise, Outcome.FAIL, f"{others.total()} of {len(both):,} were neither: {how}.")
        kind = Outcome.PASS if both else Outcome.INCONCLUSIVE
        return Check(promise, kind, f"{answered:,} were answered, {refused:,} refused that way.")


def _is_refused_well(one: Answered) -> bool:
    return one.how in _REFUSALS and one.says_when and one.took_ms <= _REFUSED_MS_MAX

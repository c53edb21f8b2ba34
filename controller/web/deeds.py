"""The deeds of the page: who may, what each will do, in sentences before anybody confirms, and the doing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.api.access import Caller
from controller.core.commands import ANY_MODEL, Ask, Command
from controller.core.foresight import Standing, foresee
from controller.roles import Deed, may
from controller.service import Service


@dataclass(frozen=True, slots=True)
class Preview:
    """The sentences that say what will happen; or ``nothing``, why there is nothing to do."""

    lines: tuple[str, ...] = ()
    nothing: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """The wish of somebody: why, who, under which id; and for how long, or until somebody ends it."""

    reason: str
    by: str
    key: str
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that may be done. ``verb`` is on its button, ``asks`` in its heading; ``lengths`` may be chosen among,
    where it ends by itself: their words, by their seconds."""

    name: str
    deed: Deed
    verb: str
    asks: str
    preview: Callable[[Standing], Preview]
    do: Callable[[Service, str, Wish], Command | None]
    lengths: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_way_back(self) -> bool:
        """Return whether it takes users back: that needs nothing to be known of how things stand."""
        return self.deed in (Deed.ABORT, Deed.ROLL_BACK)

    def allowed(self, caller: Caller, model: str) -> bool:
        """Return whether the caller may do it to this model."""
        return may(caller.roles, self.deed) and caller.model in (None, model)


def mark_of(now: Standing) -> str:
    """The mark that differs once a preview is no longer true."""
    release, table = now.release, now.table
    about: tuple[str, ...] = ("none",)
    if release is not None:
        about = (release.id, release.phase, str(release.step), "paused" if release.pause is not None else "")
    elif now.unreadable:
        about = ("unreadable",)
    freezes = sorted(f"{one.model}@{one.at_s}" for one in now.freezes)
    return ":".join((*about, str(table.generation if table is not None else 0), *freezes))


def offered(now: Standing, caller: Caller) -> tuple[Act, ...]:
    """The deeds that this caller may do here now, of those that have any effect."""
    return tuple(act for act in ACTS if act.allowed(caller, now.model) and not act.preview(now).nothing)


def _foreseen(ask: Ask) -> Callable[[Standing], Preview]:
    def preview(now: Standing) -> Preview:
        found = foresee(ask, now)
        sentence = found.sentence[:1].upper() + found.sentence[1:]
        return Preview((sentence, _answered(now))) if found.acts else Preview(nothing=sentence)

    return preview


def _answered(now: Standing) -> str:
    table = now.table
    if table is None and now.unreadable:
        return "It is not known which versions answer users now."
    if table is None:
        return "No version answers users now."
    weights = ", ".join(f"version {number} ({pct:g} %)" for number, pct in table.weights_pct.items())
    return f"Users are answered now by {weights}."


def _freeze(now: Standing) -> Preview:
    lines = [f"No release of {now.model} begins, and none gets more traffic, until the freeze is over or lifted."]
    if now.release is not None:
        lines.append(
            f"The release of version {now.release.candidate.number} goes on being judged, and its deadline stays."
        )
    lines.append(f"A rollback stays possible, by a gate or by a person. {_answered(now)}")
    lines += [f"It is already frozen, by {one.by}: {one.reason}" for one in now.freezes]
    return Preview(tuple(lines))


def _lift(now: Standing) -> Preview:
    own = [f"{one.by}: {one.reason}" for one in now.freezes if one.model != ANY_MODEL]  # of every one stays
    if not own and now.unreadable:
        return Preview(nothing=f"It is not known whether a freeze holds {now.model}: {now.unreadable}")
    if not own:
        return Preview(nothing=f"No freeze is for {now.model} alone.")
    going = "releases of it may begin"
    if now.release is not None:
        going = f"the release of version {now.release.candidate.number} goes on, and more users may get its answers"
    return Preview((f"These freezes are lifted: {'; '.join(own)}.", f"From then on {going}."))


def _do_freeze(service: Service, model: str, wish: Wish) -> None:
    service.freeze(model, reason=wish.reason, by=wish.by, for_s=wish.for_s)


def _do_lift(service: Service, model: str, wish: Wish) -> None:
    service.unfreeze(model, reason=wish.reason, by=wish.by)


def _do_pause(service: Service, model: str, wish: Wish) -> Command:
    return service.pause(model, reason=wish.reason, by=wish.by, command_id=wish.key)[0]


def _do_resume(service: Service, model: str, wish: Wish) -> Command:
    return service.resume(model, reason=wish.reason, by=wish.by, command_id=wish.key)[0]


def _do_abort(service: Service, model: str, wish: Wish) -> Command:
    return service.abort(model, reason=wish.reason, by=wish.by, command_id=wish.key)[0]


def _do_roll_back(service: Service, model: str, wish: Wish) -> Command:
    return service.rollback(model, reason=wish.reason, by=wish.by, command_id=wish.key)[0]


_LENGTHS: Final = {"3600": "1 hour", "14400": "4 hours", "43200": "12 hours", "86400": "1 day", "604800": "1 week"}
ACTS: Final = (
    Act("pause", Deed.PAUSE, "Pause", "Pause the release of", _foreseen(Ask.PAUSE), _do_pause),
    Act("resume", Deed.RESUME, "Resume", "Resume the release of", _foreseen(Ask.RESUME), _do_resume),
    Act("freeze", Deed.FREEZE, "Freeze", "Freeze", _freeze, _do_freeze, _LENGTHS),
    Act("unfreeze", Deed.UNFREEZE, "Lift the freeze", "Lift the freeze of", _lift, _do_lift),
    Act("abort", Deed.ABORT, "Abort", "Abort the release of", _foreseen(Ask.ABORT), _do_abort),
    Act("rollback", Deed.ROLL_BACK, "Roll back", "Roll back", _foreseen(Ask.ROLLBACK), _do_roll_back),
)
BY_NAME: Final = {act.name: act for act in ACTS}

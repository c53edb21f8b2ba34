"""The intake of a round: which release begins, and which facts the release in progress gets, given what people and the
registry ask for. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.core.commands import BEGINNING, Ask, Command
from controller.core.facts import Asked, Fact, NewerCandidate
from controller.core.release import Phase, Purpose, Release, Version
from controller.core.traffic import HUNDRED_PCT, TrafficTable


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason why a version cannot be released."""

    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The model as one round saw it. ``asked``: the waiting commands, in the order in which they came. ``wanted``: the
    registry's candidate, if it has had no release yet. ``identified``: the registry's answers about the versions that
    commands name, by number; None or a missing number: not answered yet."""

    model: str
    release: Release | None  # the release in progress
    table: TrafficTable | None
    asked: Sequence[Command] = ()
    wanted: Version | None = None
    identified: Mapping[str, Version | Refused] | None = None
    accepts: bool = True  # whether anything new may begin


@dataclass(frozen=True, slots=True)
class Discard:
    """A command that leads to nothing, and why."""

    command_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Begin:
    """A release that is to begin. For a restore, ``version`` comes from the traffic table and has only a number."""

    purpose: Purpose
    version: Version
    by: str
    reason: str
    command: Command | None = None

    @property
    def replaces(self) -> bool:
        """Return whether the version takes the place of a stable version that cannot run, without a comparison."""
        return self.command is not None and self.command.ask is Ask.REPLACE


@dataclass(frozen=True, slots=True)
class Intake:
    """The result of an intake. ``facts`` are for the release in progress; ``begin`` is set only if there is none."""

    facts: tuple[Fact, ...] = ()
    discards: tuple[Discard, ...] = ()
    begin: Begin | None = None


def intake(seen: Seen) -> Intake:
    """Return what follows from the commands and the registry. Without a release in progress, an override in the traffic
    table comes first, then the commands in their order, then the registry's candidate."""
    found = list(_for_release(seen, seen.release) if seen.release is not None else _for_nobody(seen))
    return Intake(
        facts=tuple(one for one in found if isinstance(one, Asked | NewerCandidate)),
        discards=tuple(one for one in found if isinstance(one, Discard)),
        begin=next((one for one in found if isinstance(one, Begin)), None),
    )


# --- a release is in progress -----------------------------------------------------------------------------------------
def _for_release(seen: Seen, release: Release) -> Iterator[Fact | Discard]:
    for command in seen.asked:
        if command.ask not in BEGINNING:
            yield Asked(command)
        elif command.ask is Ask.REHEARSE:  # a rehearsal ends no release
            yield Discard(command.id, f"release {release.id} is in progress, and nothing can be rehearsed beside it")
        elif command.version == release.candidate.number and release.phase is not Phase.ROLLING_BACK:
            yield Discard(command.id, f"release {release.id} of version {command.version} is in progress")
        else:
            yield from _next(seen, release, command)
    if seen.wanted is not None and seen.wanted.number != release.candidate.number:
        yield NewerCandidate(seen.wanted.number)


def _next(seen: Seen, release: Release, command: Command) -> Iterator[Fact | Discard]:
    """Yield what follows from a command that starts another version. The release in progress is told of that version
    only if it can be released: it must not end for a version that cannot."""
    stable = release.stable.number if release.stable is not None else None
    if command.version == stable and release.phase not in (Phase.PROMOTING, Phase.PROBATION):
        yield Discard(command.id, f"version {stable} is the stable version already")
        return
    match _identified(seen, command):
        case Refused(reason):
            yield Discard(command.id, reason)
        case Version(number):
            yield NewerCandidate(number)


# --- no release is in progress ----------------------------------------------------------------------------------------
def _for_nobody(seen: Seen) -> Iterator[Begin | Discard]:
    table = seen.table
    if table is not None and table.override is not None:
        target = max(table.weights_pct, key=lambda version: table.weights_pct[version])
        yield Begin(Purpose.RESTORE, Version(target), table.override.by, table.override.reason)
        return
    for command in seen.asked:
        found = _asked_for(seen, command)
        if found is not None:
            yield found
        if isinstance(found, Begin):
            return
    if seen.wanted is not None and not any(command.ask in BEGINNING for command in seen.asked):
        yield Begin(Purpose.PROMOTE, seen.wanted, "registry", f"Alias candidate set on version {seen.wanted.number}.")


def _asked_for(seen: Seen, command: Command) -> Begin | Discard | None:
    """Return what follows from the command; None until the registry has answered about the version."""
    table = seen.table
    match command.ask:
        case Ask.ROLLBACK if table is not None and table.known_good is not None:
            return Begin(Purpose.RESTORE, Version(table.known_good), command.by, command.reason, command)
        case Ask.START | Ask.REPLACE | Ask.REHEARSE if command.version is not None:
            if table is not None and table.weights_pct.get(command.version) == HUNDRED_PCT:
                return Discard(command.id, f"version {command.version} serves all traffic already")
            match _identified(seen, command):
                case Refused(reason):
                    return Discard(command.id, reason)
                case Version() as version:
                    purpose = Purpose.REHEARSE if command.ask is Ask.REHEARSE else Purpose.PROMOTE
                    return Begin(purpose, version, command.by, command.reason, command)
            return None
        case _:
            return Discard(command.id, f"there is nothing to {command.ask} for {seen.model}")


def _identified(seen: Seen, command: Command) -> Version | Refused | None:
    if not seen.accepts:
        return Refused(f"model {seen.model!r} has no policy that can be read: repair or write it, and try again")
    return (seen.identified or {}).get(command.version or "")

"""The origin of a version, as its manifest says: what a release reports about what it released."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that trained a version, the commit of its code, what it was given, and what it read, in words. Beside
    them the number that its logits are divided by (None: by nothing), and what that was fitted on."""

    run: str = ""
    commit: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    data: tuple[str, ...] = ()
    temperature: float | None = None
    fitted_on: str = ""


def in_words(origin: Origin) -> tuple[tuple[str, str], ...]:
    """The known facts in words, each with its name; in this order."""
    known = (
        ("Run", origin.run),
        ("Commit", origin.commit),
        ("Data", ", ".join(origin.data)),
        ("Parameters", ", ".join(f"{name} {value}" for name, value in origin.parameters)),
        ("Temperature", _temperature(origin)),
    )
    return tuple((name, words) for name, words in known if words)


def _temperature(origin: Origin) -> str:
    if origin.temperature is None:
        return ""
    return f"{origin.temperature:g}" + (f", fitted on {origin.fitted_on}" if origin.fitted_on else "")

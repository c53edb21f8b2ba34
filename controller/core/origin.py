"""The origin of a version, as its manifest says: what a release reports about what it released."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of one version. ``run`` trained the version with ``parameters`` (names and values) on ``data``;
    ``commit`` is the commit of the training code. The logits are divided by ``temperature`` (None: by nothing), which
    was fitted on ``fitted_on``. An empty field is not known."""

    run: str = ""
    commit: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    data: tuple[str, ...] = ()
    temperature: float | None = None
    fitted_on: str = ""


def in_words(origin: Origin) -> tuple[tuple[str, str], ...]:
    """Return the known facts as pairs of name and words, in a fixed order; facts that are not known are left out."""
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

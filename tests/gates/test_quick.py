"""Records that are made faster are the records that they were."""

import dataclasses
from dataclasses import dataclass, field

import pytest

from gates.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Seen:
    name: str
    count: int = 0
    parts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count is below 0")


def test_a_record_is_made_by_place_by_name_and_by_default() -> None:
    assert Seen("a", 2, [3]) == Seen(parts=[3], count=2, name="a")
    assert dataclasses.replace(Seen("a", 2), count=4) == Seen("a", 4, [])
    assert repr(Seen("a")) == "Seen(name='a', count=0, parts=[])"


def test_what_a_factory_makes_is_new_each_time() -> None:
    assert Seen("a").parts is not Seen("a").parts


def test_it_is_checked_and_frozen_as_before() -> None:
    with pytest.raises(ValueError, match="below 0"):
        Seen("a", -1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Seen("a").count = 3  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        Seen()  # type: ignore[call-arg]


def test_what_it_cannot_make_is_refused() -> None:
    @dataclass(frozen=True)
    class Loose:
        name: str

    @dataclass(slots=True)
    class Open:
        name: str

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        name: str

    class Plain:
        pass

    for cls in (Loose, Open, Named, Plain):
        with pytest.raises(TypeError, match=cls.__name__):
            quick(cls)

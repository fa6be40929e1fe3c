"""Quick values must be the library's dataclasses in all but price."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, field, fields
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace as plain_replace
from typing import Any, ClassVar

import pytest

from gateway.kernel.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Point:
    """A value with every kind of default."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A value whose fields are named."""

    name: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """A value that refuses some contents."""

    size: int

    def __post_init__(self) -> None:
        """Refuse what is negative."""
        if self.size < 0:
            raise ValueError("negative")


@plain_dataclass(frozen=True, slots=True)
class Plain:
    """One that the library made."""

    x: int
    y: int


class Wider(Point):
    """A subclass of one that the library made."""


class Deeper(Checked):
    """A subclass, with a layout of its own, of one that is quick."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One with an attribute of the class."""

    count: ClassVar[int] = 7
    x: int


def test_a_value_has_what_it_was_given_and_the_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(1).tags) == (1, 2, [])
    assert Point(1).tags is not Point(1).tags
    assert Named(name="a") == Named(name="a", size=0)
    assert replace(Named(name="a"), size=3) == Named(name="a", size=3)
    assert repr(Point(1)) == "Point(x=1, y=2, tags=[])"


def test_a_value_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc] # frozen, which is what is tested
    with pytest.raises(FrozenInstanceError):
        del point.x
    assert type(point) is Point


def test_a_value_is_compared_hashed_copied_and_pickled() -> None:
    assert hash(Named(name="a")) == hash(Named(name="a"))
    assert copy.copy(Named(name="a")) == Named(name="a")
    assert pickle.loads(pickle.dumps(Named(name="a"))) == Named(name="a")


def test_wrong_arguments_are_refused() -> None:
    make: Any = Point
    with pytest.raises(TypeError):
        make()
    with pytest.raises(TypeError):
        make(1, z=3)
    named: Any = Named
    with pytest.raises(TypeError):
        named("a")


def test_the_signature_is_that_of_the_library() -> None:
    assert list(inspect.signature(Point).parameters) == [one.name for one in fields(Point)]


def test_a_check_after_the_making_still_runs() -> None:
    assert Checked(1).size == 1
    with pytest.raises(ValueError, match="negative"):
        Checked(-1)
    with pytest.raises(ValueError, match="negative"):
        replace(Checked(1), size=-1)


def test_a_subclass_keeps_its_own_kind() -> None:
    assert type(Wider(1)) is Wider
    assert type(Deeper(1)) is Deeper
    assert Deeper(1).size == 1
    assert Wider(1).y == 2


def test_an_attribute_of_the_class_stays_one() -> None:
    assert (Counted(1).x, Counted.count) == (1, 7)


@pytest.mark.parametrize("value", [Point(1), Plain(1, 2)])
def test_a_changed_copy_is_that_of_the_library(value: Any) -> None:
    assert replace(value, y=9) == plain_replace(value, y=9)
    assert type(replace(value, y=9)) is type(value)
    assert value.y == 2
    with pytest.raises(FrozenInstanceError):
        replace(value, y=9).y = 3


def test_a_copy_with_a_field_that_is_none_is_refused() -> None:
    changes: Any = {"z": 1}
    with pytest.raises(TypeError):
        replace(Point(1), **changes)

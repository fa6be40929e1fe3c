"""`dataclass` and `replace` as the library's, quick for what the house is built of.

A frozen class refuses assignments, so the library's `__init__` and `replace` go around it field by
field, and a ticket on its way makes and copies some hundred values. Here a frozen, slotted class
gets a *twin* with the same slots that refuses nothing: a value is filled as its twin by plain
assignments and then becomes what it is (`__class__` may be assigned between classes of one layout).
Nobody ever holds a twin. Signature, defaults, checks and errors are the library's, type checkers
see the library's functions, and a class that is not plain stays as the library made it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

_become: Callable[[Any, type[Any]], None] = object.__dict__["__class__"].__set__


def _twin_of(cls: type[Any]) -> type[Any] | None:
    """Return the class that is filled in the place of `cls`; None where the library must do."""
    found = dataclasses.fields(cls)
    names = tuple(one.name for one in found)
    is_whole = names == cls.__dict__.get("__slots__") and len(cls.__dataclass_fields__) == len(
        names
    )
    has_factory = any(one.default_factory is not dataclasses.MISSING for one in found)
    if cls.__bases__ != (object,) or not is_whole or has_factory or not all(o.init for o in found):
        return None
    return type(cls.__name__, (), {"__slots__": names})


def _function(head: str, lines: list[str], **scope: Any) -> Any:
    text = "\n    ".join([f"def made({head}):", *lines])
    exec(compile(text, "<value>", "exec"), scope)  # noqa: S102 names of fields only, as in the library
    return scope["made"]


def _quick(cls: type[Any]) -> type[Any]:
    """Give a frozen, plain class an `__init__` that fills its twin."""
    twin = _twin_of(cls) if cls.__dataclass_params__.frozen else None
    if twin is None:
        return cls
    names, slow = [one.name for one in dataclasses.fields(cls)], cls.__init__
    named = [one.name for one in dataclasses.fields(cls) if one.kw_only]
    plain = [name for name in names if name not in named]
    lines = [
        f"if self.__class__ is not cls: return slow(self, {', '.join(f'{n}={n}' for n in names)})",
        "become(self, twin)",
        *(f"self.{name} = {name}" for name in names),
        "self.__class__ = cls",
        *(["self.__post_init__()"] if hasattr(cls, "__post_init__") else []),
    ]
    head = ", ".join(["self", *plain, *(["*", *named] if named else [])])
    made = _function(head, lines, cls=cls, slow=slow, become=_become, twin=twin)
    made.__defaults__, made.__kwdefaults__ = slow.__defaults__, slow.__kwdefaults__
    made.__annotations__, made.__qualname__ = slow.__annotations__, slow.__qualname__
    cls.__init__ = made
    return cls


def _copier_of(cls: type[Any]) -> Callable[[Any, dict[str, Any]], Any]:
    """Return what copies values of a class; one that checks something is made by the library."""
    twin = None if hasattr(cls, "__post_init__") else _twin_of(cls)
    if twin is None:
        return lambda value, changes: dataclasses.replace(value, **changes)
    names = [one.name for one in dataclasses.fields(cls)]
    lines = ["made = twin()", *(f"made.{name} = value.{name}" for name in names)]
    lines += ["for name, item in changes.items(): put(made, name, item)", "made.__class__ = cls"]
    return _function("value, changes", [*lines, "return made"], cls=cls, twin=twin, put=setattr)  # type: ignore[no-any-return] # made of text


_COPIERS: dict[type[Any], Callable[[Any, dict[str, Any]], Any]] = {}

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
else:

    def dataclass(cls: type[Any] | None = None, /, **options: Any) -> Any:
        """Make a class a dataclass; a frozen one with slots is quick to make."""
        if cls is None:
            return lambda given: _quick(dataclasses.dataclass(given, **options))
        return _quick(dataclasses.dataclass(cls, **options))

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a copy of a value with some fields changed."""
        cls = type(value)
        copier = _COPIERS.get(cls) or _COPIERS.setdefault(cls, _copier_of(cls))
        try:
            return copier(value, changes)
        except AttributeError as error:  # as the library says it
            raise TypeError(f"{cls.__name__} has no such field: {error}") from None


__all__ = ["dataclass", "replace"]

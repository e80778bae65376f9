"""The `body` of one request, taken apart field by field; what nobody takes is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from jobs.echo import echoed

#: What says nothing of the answer: labels of the caller's own bookkeeping.
_LABELS = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})


class BodyProblem(Exception):
    """What is wrong with a body, and with which field of it."""

    def __init__(self, param: str, message: str, *, code: str = "invalid_value") -> None:
        self.param = param
        self.message = message
        self.code = code
        super().__init__(message)


def missing(param: str) -> BodyProblem:
    """A field that must be there is not."""
    return BodyProblem(param, f"Missing required parameter: {param!r}.", code="missing_required_parameter")


class Translated(NamedTuple):
    """A request as a row of ours."""

    fields: dict[str, Any]
    #: our fields that the request calls by other names
    names: dict[str, str]


class Body:
    """Each field is taken once; null is as good as not given.

    Args:
        fields: As they were sent.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in fields.items() if value is not None}
        #: our fields, by the names they have here
        self.names: dict[str, str] = {}

    def take(self, name: str, *, stands_for: str | None = None) -> Any:
        """The value, or None; `stands_for` is the field of ours that it becomes."""
        if stands_for is not None and name in self._left:
            self.names[stands_for] = name
        return self._left.pop(name, None)

    def take_one(self, names: Collection[str], *, stands_for: str) -> Any:
        """The value under whichever of these names it has.

        Raises:
            BodyProblem: it is given twice.
        """
        given = [name for name in names if name in self._left]
        if len(given) > 1:
            raise BodyProblem(given[1], f"give {given[0]} or {given[1]}, not both")
        return self.take(given[0], stands_for=stands_for) if given else None

    def take_params(self, allowed: Collection[str]) -> dict[str, Any]:
        """Parameters under the names they have with us."""
        return {name: self._left.pop(name) for name in list(self._left) if name in allowed}

    def refuse_unserved(self, unserved: Mapping[str, Unserved]) -> None:
        """Refuses what is not done here, unless its value asks for nothing.

        Raises:
            BodyProblem: with the field and what to do.
        """
        for name, rule in unserved.items():
            value = self._left.pop(name, None)
            if value is not None and not rule.is_neutral(value):
                raise BodyProblem(
                    name, f"{name} is not served here: {rule.remedy}", code="unsupported_parameter"
                )

    def end(self, allowed: Collection[str]) -> None:
        """Refuses what is left.

        Raises:
            BodyProblem: a field that nobody knows.
        """
        unknown = min(self._left.keys() - _LABELS, default=None)
        if unknown is not None:
            raise BodyProblem(
                unknown,
                f"unknown parameter {echoed(unknown)}; allowed: {', '.join(sorted(allowed))}",
                code="unknown_parameter",
            )


class Unserved(NamedTuple):
    """A parameter of OpenAI's that is not done here."""

    neutral: tuple[Any, ...] = ()  #: values that ask for nothing
    remedy: str = "leave it out"

    def is_neutral(self, value: Any) -> bool:
        """Whether it asks for nothing; true and 1 are two things."""
        return any(type(value) is type(each) and value == each for each in self.neutral) or (
            isinstance(value, float) and value == 0.0 and 0 in self.neutral
        )

"""
Settings that rules read: declared with type and default in a service's ``config.py``, kept by day and branch.

A branch's row overrides the bank's (branch 0), which overrides the default; of several rows the one with the
latest ``effective_date`` that is not after the day asked for holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guanhu.parameter.v1 import parameter_pb2, parameter_pb2_grpc
from sqlalchemy.dialects.postgresql import insert

from services.chassis import names, tables, wiretypes
from services.chassis.caller import HEAD_OFFICE
from services.chassis.errors import Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from services.chassis.calls import Context
    from services.chassis.db import UnitOfWork, Work


HELD = """
    SELECT branch_id, key, effective_date, value::text AS value, update_time, update_by FROM parameters
    WHERE key = ANY ($1) AND effective_date <= $3 AND branch_id IN (0, $2)
    ORDER BY branch_id <> 0, effective_date"""


@dataclass(frozen=True, slots=True)
class Declared:
    """
    One parameter as its service declares it.

    ``default`` also says what it takes: an integer, a text, a list, or an object whose entries are overridden one
    by one. ``least`` and ``most`` bound integers, and every integer entry of an object.
    """

    key: str
    default: Any
    en: str
    zh: str
    least: int | None = None
    most: int | None = None

    def expected(self) -> str:
        """Return in words what the parameter takes."""
        kind = {
            int: "an integer",
            str: "a text",
            list: "a list",
            dict: "an object",
            bool: "true or false",
        }[type(self.default)]
        bounds = [
            f"at least {self.least}" if self.least is not None else "",
            f"at most {self.most}" if self.most is not None else "",
        ]
        return " ".join([kind, *filter(None, bounds)])

    def fits(self, value: Any) -> bool:
        """Say whether *value* is of the declared type and within its bounds."""
        if type(value) is not type(self.default):
            return False
        if isinstance(value, dict):
            return set(value) <= set(self.default) and all(
                type(entry) is type(self.default[key]) and self._within(entry)
                for key, entry in value.items()
            )
        return self._within(value)

    def _within(self, value: object) -> bool:
        if not isinstance(value, int):
            return True
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


@dataclass(frozen=True, slots=True)
class InForce:
    """A value with where it comes from; ``row`` is None for the default."""

    value: Any
    row: Any = None


class Parameters:
    """All parameters of one service."""

    def __init__(self, *declared: Declared) -> None:
        """Keep *declared* by key."""
        self.declared: Mapping[str, Declared] = {one.key: one for one in declared}

    async def value(self, work: Work, key: str, *, branch_id: int, day: date) -> Any:
        """Return the value of *key* in force for *branch_id* on *day*; all are read with the first of a transaction."""
        if branch_id not in work.held:
            work.held[branch_id] = await self.in_force(
                work, list(self.declared), branch_id=branch_id, day=day
            )
        return work.held[branch_id][key].value

    async def in_force(
        self, work: Work, keys: list[str], *, branch_id: int, day: date
    ) -> dict[str, InForce]:
        """Return what holds for each of *keys*, read in one query."""
        found = {key: InForce(self.declared[key].default) for key in keys}
        for row in await work.run(HELD, keys, branch_id, day):
            default, value = self.declared[row.key].default, json.loads(row.value)
            merged = {**default, **value} if isinstance(default, dict) else value
            found[row.key] = InForce(merged, row)
        return found


class ParameterServicer(parameter_pb2_grpc.ParameterServiceServicer):
    """Serves the parameters of one service."""

    def __init__(self, uow: UnitOfWork, parameters: Parameters) -> None:
        """Read and write through *uow*."""
        self._uow = uow
        self._parameters = parameters

    def _declared(self, name: str) -> Declared:
        key = names.key_of("parameters", name)
        if key not in self._parameters.declared:
            raise NotFound("parameter", "参数")
        return self._parameters.declared[key]

    async def GetParameter(
        self, request: parameter_pb2.GetParameterRequest, context: Context
    ) -> parameter_pb2.Parameter:
        """Return the value in force."""
        declared = self._declared(request.name)
        async with self._uow.read(context.caller) as work:
            day = wiretypes.date_from(request.date) or work.today
            found = await self._parameters.in_force(
                work, [declared.key], branch_id=request.branch_id, day=day
            )
        return message_of(declared, found[declared.key])

    async def ListParameters(
        self, request: parameter_pb2.ListParametersRequest, context: Context
    ) -> parameter_pb2.ListParametersResponse:
        """Return all of them, ascending by name."""
        keys = sorted(self._parameters.declared)
        async with self._uow.read(context.caller) as work:
            found = await self._parameters.in_force(
                work, keys, branch_id=request.branch_id, day=work.today
            )
        shown = [message_of(self._parameters.declared[key], found[key]) for key in keys]
        return parameter_pb2.ListParametersResponse(parameters=shown)

    async def SetParameter(
        self, request: parameter_pb2.SetParameterRequest, context: Context
    ) -> parameter_pb2.Parameter:
        """Store a value from a day on."""
        declared = self._declared(request.name)
        try:
            value = json.loads(request.value_json)
        except ValueError:
            value = None
        if not declared.fits(value):
            raise Invalid(
                "PARAMETER_INVALID", key=declared.key, expected=declared.expected()
            )
        async with self._uow(context.caller) as work:
            day = wiretypes.date_from(request.effective_date) or work.today
            before = (
                await self._parameters.in_force(
                    work, [declared.key], branch_id=request.branch_id, day=day
                )
            )[declared.key]
            key = {
                "branch_id": request.branch_id,
                "key": declared.key,
                "effective_date": day,
            }
            await _store(work, key, value)
            work.note(
                request.name,
                branch_id=HEAD_OFFICE,
                before=before.value,
                after=value,
                for_branch=request.branch_id,
            )
            found = await self._parameters.in_force(
                work, [declared.key], branch_id=request.branch_id, day=day
            )
        return message_of(declared, found[declared.key])


async def _store(work: Work, key: Mapping[str, Any], value: object) -> None:
    """Write the value that holds from a day on, in place of one that was set for the same day."""
    new = {
        "value": value,
        "update_time": work.now,
        "update_by": work.caller.subject,
    }
    statement = insert(tables.parameters).values({**key, **new})
    await work.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=new)
    )


def message_of(declared: Declared, found: InForce) -> parameter_pb2.Parameter:
    """Return the contract's form of a parameter and what holds."""
    message = parameter_pb2.Parameter(
        name=f"parameters/{declared.key}",
        description=declared.en,
        description_zh=declared.zh,
        value_json=json.dumps(found.value, ensure_ascii=False),
        default_json=json.dumps(declared.default, ensure_ascii=False),
    )
    if found.row is not None:
        message.branch_id = found.row.branch_id
        message.effective_date.CopyFrom(wiretypes.date_to(found.row.effective_date))
        message.update_time.CopyFrom(wiretypes.time_to(found.row.update_time))
    return message

"""Between a message's fields and a form's: days, numbers, texts and lists."""

from datetime import date
from typing import Any

from google.protobuf.message import Message
from google.type import date_pb2

from admin.formats import day_of


def read_field(message: Message, name: str) -> Any:
    """Return a field as forms hold it: a day as ``date``, an unset one as None, a repeated one as a list."""
    value = getattr(message, name)
    if isinstance(value, date_pb2.Date):
        return day_of(value)
    described = message.DESCRIPTOR.fields_by_name[name]
    return list(value) if described.is_repeated else value


def write_field(message: Message, name: str, value: Any) -> None:
    """Set a field from what a form holds; empty and None leave it unset."""
    described = message.DESCRIPTOR.fields_by_name[name]
    message.ClearField(name)
    if value in (None, "", []):
        return
    if described.is_repeated:
        getattr(message, name).extend(value)
    elif isinstance(value, date):
        getattr(message, name).CopyFrom(
            date_pb2.Date(year=value.year, month=value.month, day=value.day)
        )
    else:
        kind = int if described.cpp_type != described.CPPTYPE_STRING else str
        setattr(message, name, value if isinstance(value, bool) else kind(value))


def plain(value: Any) -> Any:
    """Return *value* as it can be written down and compared; empty, None and unset are the same."""
    if isinstance(value, date):
        return value.isoformat()
    if value in (None, "", [], 0, False):
        return ""
    return [plain(part) for part in value] if isinstance(value, list) else value

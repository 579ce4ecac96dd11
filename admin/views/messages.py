"""Messages one by one, over all batches in the person's sight."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from google.protobuf.timestamp_pb2 import Timestamp
from guanhu.messaging.v1 import batch_pb2, delivery_pb2_grpc
from guanhu.messaging.v1 import delivery_pb2 as pb
from guanhu.policy.v1 import policy_pb2
from markupsafe import Markup

from admin import formats, words
from admin.channels import Channels
from admin.people import People
from admin.remote import Page, RemoteFilter, RemoteView, Segment
from admin.sayings import in_chinese

SERVICE = "guanhu.messaging.v1.DeliveryService"
NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
CODES = pb.FailureCause.DESCRIPTOR.values_by_number


def customer_typed(text: str) -> str:
    """Return the name of the customer whose number was typed; raises ValueError."""
    if not NUMBER.fullmatch(text.strip()):
        raise ValueError(text)
    return f"customers/{text.strip()}"


def day_typed(text: str) -> str:
    """Return a day as it was typed, once it is one; raises ValueError."""
    return date.fromisoformat(text.strip()).isoformat()


def midnight(day: str, more: int = 0) -> Timestamp:
    """Return the start of *day* in the portal's time zone, *more* days later."""
    found = datetime.combine(date.fromisoformat(day), time(), formats.zone())
    stamp = Timestamp()
    stamp.FromDatetime(found + timedelta(days=more))
    return stamp


def meaning(cause: int) -> str:
    """Return what a cause of failure means, in the person's language."""
    saying = CODES[cause].GetOptions().Extensions[policy_pb2.saying]
    return str(saying.zh if in_chinese() else saying.en)


def course(doubt: pb.Doubt) -> str:
    """Return what becomes of a message of which nobody knows, in the person's language."""
    moment = formats.moment(doubt.fence_time)
    return {
        pb.DOUBT_COURSE_AWAITS_RECEIPT: _(
            "a receipt may decide it until %(moment)s", moment=moment
        ),
        pb.DOUBT_COURSE_GOES_AGAIN: _("it is sent again as soon as the link is steady"),
        pb.DOUBT_COURSE_ASKED: _(
            "the provider is asked, and it is sent again only if the provider never took it"
        ),
        pb.DOUBT_COURSE_STAYS: _(
            "it is not sent again: reach the customer another way, or plan a batch for those left"
        ),
    }[doubt.course]


def why(message: pb.Message) -> str:
    """Return why a message stands as it does, in one sentence; empty when there is nothing to say."""
    if message.exclusion_reason:
        return words.word(words.EXCLUSION, message.exclusion_reason)
    if message.failure_cause:
        return f"{meaning(message.failure_cause)} ({message.failure_code})"
    if message.HasField("doubt"):
        doubt = message.doubt
        since = formats.moment(doubt.start_time)
        cause = words.word(words.DOUBT, doubt.cause)
        stop = "；" if in_chinese() else "; "
        return f"{_('since %(moment)s', moment=since)} · {cause}{stop}{course(doubt)}"
    return ""


def reason(_view: Any, _context: Any, row: pb.Message, _name: str) -> Markup:
    """Return why a message stands as it does; a list cuts it short, and shows it whole to who points at it."""
    found = why(row)
    if not found:
        return formats.NONE
    return Markup('<span class="why" title="{0}">{0}</span>').format(found)


def customer_link(view: Any, _context: Any, row: pb.Message, _name: str) -> Markup:
    """Return the customer's name as the way to the message."""
    address = view.get_url(".details_view", id=row.name)
    link = Markup('<a class="strong" href="{}">{}</a> <span class="mut num">{}</span>')
    return link.format(address, row.customer_display_name, row.customer[10:])


def written(people: People) -> dict[str, Any]:
    """Return how each column of a message reads."""
    return {
        "customer": customer_link,
        "state": lambda _v, _c, row, _n: words.chip(
            words.RECIPIENT, row.state, words.RECIPIENT_TONES
        ),
        "why": reason,
        "purpose": lambda _v, _c, row, _n: words.chip(words.PURPOSE, row.purpose),
        "sender": lambda _v, _c, row, _n: people.staff_name(row.sender),
        "gateway": lambda _v, _c, row, _n: formats.text(row.gateway[9:]),
    }


def tab(key: str, label: object, state: int) -> Segment:
    """Return a tab of messages in one state."""
    return Segment(key, label, {"state": state} if state else {})


TABS = (
    tab("all", _l("All"), 0),
    tab("waiting", _l("Waiting"), batch_pb2.RECIPIENT_STATE_WAITING),
    tab("sent", _l("Accepted"), batch_pb2.RECIPIENT_STATE_SENT),
    tab("delivered", _l("Delivered"), batch_pb2.RECIPIENT_STATE_DELIVERED),
    tab("failed", _l("Failed"), batch_pb2.RECIPIENT_STATE_FAILED),
    tab("unknown", _l("Unknown"), batch_pb2.RECIPIENT_STATE_UNKNOWN),
    tab("excluded", _l("Left out"), batch_pb2.RECIPIENT_STATE_EXCLUDED),
    tab("cancelled", _l("Not sent"), batch_pb2.RECIPIENT_STATE_CANCELLED),
)


class MessageView(RemoteView):
    """Messages in the person's sight, the newest batch first."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListMessages",
        "index_view": f"{SERVICE}.ListMessages",
        "details_view": f"{SERVICE}.GetMessage",
        "peek_view": f"{SERVICE}.GetMessage",
    }
    details_template = "portal/message.html"
    column_list: tuple[str, ...] = (
        "customer",
        "mobile",
        "state",
        "why",
        "template_display_name",
        "sender",
        "create_time",
        "settle_time",
    )
    column_details_list = (
        "customer",
        "mobile",
        "template_display_name",
        "purpose",
        "sender",
        "state",
        "why",
        "segments",
        "attempt_count",
        "gateway",
        "gateway_message",
        "create_time",
        "settle_time",
        "receipt_time",
    )
    column_labels: ClassVar[dict[str, object]] = {
        "customer": _l("Customer"),
        "mobile": _l("Mobile"),
        "template_display_name": _l("Template"),
        "purpose": _l("Purpose"),
        "sender": _l("Sender"),
        "state": _l("State"),
        "why": _l("Why"),
        "segments": _l("Billed as"),
        "attempt_count": _l("Handed over, times"),
        "gateway": _l("Gateway"),
        "gateway_message": _l("Number at the SMS centre"),
        "create_time": _l("Planned"),
        "settle_time": _l("Answered"),
        "receipt_time": _l("Receipt"),
    }
    column_sortable_list = ("create_time",)
    column_default_sort = ("create_time", True)
    numeric = frozenset({"segments"})
    segments = TABS
    search_hint = _l("Beginning of the customer number")

    def __init__(self, channels: Channels, people: People) -> None:
        """Show messages with the names that *people* knows."""
        self._stub = channels.stub("messaging", delivery_pb2_grpc.DeliveryServiceStub)
        self._people = people
        self.column_filters = self.filters()
        self.column_formatters = written(people)
        self.column_formatters_detail = self.column_formatters
        self.title, endpoint = self.called()
        super().__init__(
            pb.Message,
            name=self.title,
            endpoint=endpoint,
            menu_icon_type="own",
            menu_icon_value="note",
        )

    def called(self) -> tuple[object, str]:
        """Return what the page is called, for people and in addresses."""
        return _l("Messages"), "messages"

    def filters(self) -> tuple[RemoteFilter, ...]:
        """Return what the list can be narrowed by."""
        return (
            RemoteFilter("customer", _l("Customer number"), parse=customer_typed),
            RemoteFilter("sender", _l("Sender"), options=self._senders),
            by_reason(),
            RemoteFilter(
                "start_time", _l("Planned from"), parse=day_typed, kind="date"
            ),
            RemoteFilter("end_time", _l("Planned until"), parse=day_typed, kind="date"),
        )

    def _senders(self) -> list[tuple[str, str]]:
        return [
            (name, str(one.display_name)) for name, one in self._people.staff().items()
        ]

    def label_of(self, message: pb.Message) -> str:
        """Return the customer's name."""
        return str(message.customer_display_name)

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of messages; days are those of the portal's time zone, the last one included."""
        asked = dict(fields)
        if "start_time" in asked:
            asked["start_time"] = midnight(asked["start_time"])
        if "end_time" in asked:
            asked["end_time"] = midnight(asked["end_time"], 1)
        found = self._stub.ListMessages(
            pb.ListMessagesRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **asked
            )
        )
        return Page(found.messages, found.total_size)

    def fetch(self, name: str) -> pb.Message:
        """Return one message with its text."""
        return self._stub.GetMessage(pb.GetMessageRequest(name=name))


def by_reason() -> RemoteFilter:
    """Return the filter by why somebody was left out."""
    options: Callable[[], Any] = words.options(words.EXCLUSION)
    return RemoteFilter(
        "exclusion_reason", _l("Left out because"), parse=int, options=options
    )

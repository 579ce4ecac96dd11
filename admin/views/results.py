"""The results of one batch: everybody by state with the reason, and all of them as a table to take along."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from flask import abort, request
from flask_admin import expose
from flask_babel import lazy_gettext as _l
from guanhu.messaging.v1 import batch_pb2, batch_pb2_grpc
from guanhu.messaging.v1 import delivery_pb2 as pb

from admin import exports, formats, words
from admin.channels import Channels
from admin.people import People
from admin.remote import Page, RemoteFilter
from admin.views.messages import SERVICE, TABS, MessageView, by_reason, why


class ResultView(MessageView):
    """The messages of one batch, in the order of the batch, with how far it has come."""

    asks: ClassVar[Mapping[str, str]] = {
        **MessageView.asks,
        "table": f"{SERVICE}.ExportMessages",
    }
    list_template = "portal/results.html"
    column_list = (
        "customer",
        "mobile",
        "state",
        "why",
        "segments",
        "gateway_message",
        "settle_time",
        "receipt_time",
    )
    column_default_sort = ("create_time", False)
    column_sortable_list = ()

    def __init__(self, channels: Channels, people: People) -> None:
        """Show the messages of a batch with the names that *people* knows."""
        self._batches = channels.stub("messaging", batch_pb2_grpc.SmsBatchServiceStub)
        super().__init__(channels, people)

    def called(self) -> tuple[object, str]:
        """Return what the page is called, for people and in addresses."""
        return _l("Results"), "results"

    def filters(self) -> tuple[RemoteFilter, ...]:
        """Return what the list can be narrowed by."""
        return (by_reason(),)

    def is_visible(self) -> bool:
        """Stay out of the menu: the page is reached from its batch."""
        return False

    def kept(self) -> dict[str, str]:
        """Return the batch whose results these are."""
        return {"batch": request.args.get("batch", "")}

    def order(self, field: str | None, *, descending: bool) -> tuple[str, bool]:
        """Return the order of the batch, whatever was asked for."""
        return "create_time", False

    @expose("/")
    def index_view(self) -> Any:
        """Show the messages of one batch."""
        name = self.kept()["batch"]
        if not name:
            abort(404)
        batch = self._batches.GetBatch(batch_pb2.GetBatchRequest(name=name))
        self._template_args.update(
            batch=batch, words=words, ended=batch.finish_time.seconds
        )
        return super().index_view()

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of the batch's messages."""
        narrowed = {**fields, **self.kept()}
        return super().list_page(
            page_size=page_size,
            skip=skip,
            order_by=order_by,
            query=query,
            fields=narrowed,
        )

    @expose("/table/", methods=("POST",))
    def table(self) -> Any:
        """Hand out what the list shows as a table; the service enters it in the audit trail before it answers."""
        form = request.form
        chosen = next((one for one in TABS if one.key == form.get("tab")), TABS[0])
        batch = self._batches.GetBatch(
            batch_pb2.GetBatchRequest(name=form.get("batch", ""))
        )
        pieces = self._stub.ExportMessages(
            pb.ExportMessagesRequest(
                batch=batch.name,
                query=form.get("search", ""),
                exclusion_reason=form.get("reason", 0, type=int),  # type: ignore[arg-type]
                **chosen.fields,
            )
        )
        first = next(
            pieces, pb.ExportMessagesResponse()
        )  # a refusal comes here, while it can still be a page
        name = f"{batch.template_display_name}-{formats.today().isoformat()}.csv"
        return exports.attachment(rows_of(first, pieces), name)


HEADS = (
    _l("Place"),
    _l("Customer number"),
    _l("Customer"),
    _l("Mobile"),
    _l("State"),
    _l("Why"),
    _l("Billed as"),
    _l("Number at the SMS centre"),
    _l("Code"),
    _l("Answered"),
    _l("Receipt"),
)


def rows_of(
    first: pb.ExportMessagesResponse, rest: Iterator[pb.ExportMessagesResponse]
) -> Iterator[exports.Row]:
    """Yield the rows of a table of messages, its head first."""
    yield HEADS
    yield from map(_cells, first.messages)
    for piece in rest:
        yield from map(_cells, piece.messages)


def _cells(message: pb.Message) -> exports.Row:
    moments = (message.settle_time, message.receipt_time)
    shown = (formats.moment_of(one) for one in moments)
    return (
        message.name.rpartition(".")[2],
        message.customer.partition("/")[2],
        message.customer_display_name,
        message.mobile,
        words.word(words.RECIPIENT, message.state),
        why(message),
        message.segments,
        message.gateway_message,
        message.failure_code,
        *(one.strftime("%Y-%m-%d %H:%M:%S") if one else "" for one in shown),
    )

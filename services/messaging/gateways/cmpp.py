"""The CMPP driver, 2.0 and 3.0: turns messages into SUBMIT and DELIVER into events; ``stream`` keeps the link."""

import asyncio

from services.chassis.clock import Clock, system_clock
from services.messaging.gateways import (
    Capabilities,
    Outgoing,
    Receipt,
    SubmitResult,
    Verdict,
    encoding,
)
from services.messaging.gateways import cmpp_codec as codec
from services.messaging.gateways.assembly import Piece
from services.messaging.gateways.cmpp_session import CmppSession
from services.messaging.gateways.cmpp_writer import CmppSettings, Writer, in_words
from services.messaging.gateways.joint_receipts import JointReceipts
from services.messaging.gateways.parts import Entry, Part, Whole
from services.messaging.gateways.stream import Ack, Life, StreamGateway


def capabilities(settings: CmppSettings) -> Capabilities:
    """Return what a connection with *settings* can do; of what we send, receipts echo the access number alone."""
    return Capabilities(
        window=settings.window,
        sends=True,
        receipts=True,
        inbound=True,
        ref_size=0,
        final_receipt_after=settings.final_receipt_after,
    )


class CmppGateway(StreamGateway):
    """One configured connection to one CMPP gateway."""

    def __init__(self, settings: CmppSettings, *, clock: Clock = system_clock) -> None:
        """Raise ValueError when names do not fit the protocol's fields."""
        super().__init__(
            settings,
            caps=capabilities(settings),
            verdicts=codec.VERDICTS,
            clock=clock,
        )
        self._settings = settings
        self._writer = Writer(settings)
        self._receipts = JointReceipts(settings.hold_seconds)

    def _new_session(self) -> CmppSession[Entry]:
        settings = self._settings
        return CmppSession(
            self, settings.form, window=settings.window, timers=settings.timers
        )

    async def _bind(self, session: Life) -> None:
        assert isinstance(session, CmppSession)
        settings = self._settings
        await session.connect(settings.sp_id, settings.secret, self._clock())

    def _entries(self, message: Outgoing) -> list[tuple[Entry, bytes]]:
        return self._writer.entries(message)

    def _number_of(self, body: bytes) -> str | None:
        return codec.message_id_of(body)

    def _in_words(self, status: int) -> str:
        return in_words(status)

    def _part_answered(
        self, part: Part, verdict: Verdict, status: int, body: bytes
    ) -> None:
        """Keep the gateway's number of a part that it took for its receipt."""
        if verdict == "accepted":
            self._receipts.expect(part.whole, codec.message_id_of(body))
        super()._part_answered(part, verdict, status, body)

    def _whole_ended(self, whole: Whole, result: SubmitResult) -> None:
        super()._whole_ended(whole, result)
        for receipt in self._receipts.settle(whole, result):
            self._report(receipt)

    def _look(self, now: float) -> None:
        super()._look(now)
        for receipt in self._receipts.overdue(now):
            self._report(receipt)

    def _forget(self) -> None:
        super()._forget()
        self._receipts.link_lost()

    def delivered(self, session: Life, sequence: int, body: bytes) -> None:
        """Pass a receipt or a customer's message on, unacknowledged; one that nobody can read is refused for good."""
        try:
            message = codec.read_deliver(self._settings.form, body)
            if message.receipt:
                report = codec.read_report(self._settings.form, message.content)
        except codec.MalformedPdu:
            self._counts["unreadable"] += 1
            session.answer_delivers([sequence], codec.MALFORMED)
            return
        ack = Ack(session, sequence)
        if message.receipt:
            self._counts["receipts"] += 1
            self._take_report(message, report, ack)
        else:
            self._take_message(message, ack)

    def _take_report(
        self, message: codec.Deliver, report: codec.Report, ack: Ack
    ) -> None:
        receipt = Receipt(
            gateway_id=report.msg_id,
            dest=codec.international(report.dest or message.source),
            source=message.dest,
            client_ref=None,
            state=report.state,
            code=report.stat,
            heard_at=self._clock(),
            ack=ack,
        )
        now = asyncio.get_running_loop().time()
        for ready in self._receipts.take(receipt, now):
            self._report(ready)

    def _take_message(self, message: codec.Deliver, ack: Ack) -> None:
        place, data = None, message.content
        if message.joined:
            place, data = encoding.read_header(data)
        text = encoding.decode(
            data, codec.PYTHON_CODING.get(message.msg_fmt, message.msg_fmt)
        )
        source = codec.international(message.source)
        self._take_inbound(Piece(source, message.dest, text, ack), place)

"""The SMPP 3.4 driver: turns messages into PDUs and PDUs into events; the link itself is kept by ``stream``."""

from services.chassis.clock import Clock, system_clock
from services.messaging.gateways import Capabilities, Outgoing, Receipt, encoding
from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.assembly import Piece
from services.messaging.gateways.parts import Entry
from services.messaging.gateways.smpp_session import SmppSession
from services.messaging.gateways.smpp_writer import SmppSettings, Writer, in_words
from services.messaging.gateways.stream import Ack, Life, StreamGateway


def capabilities(settings: SmppSettings) -> Capabilities:
    """Return what a connection with *settings* can do."""
    hears = settings.bind != "transmitter"
    return Capabilities(
        window=settings.window,
        sends=settings.bind != "receiver",
        receipts=hears,
        inbound=hears,
        ref_size=2,
        final_receipt_after=settings.final_receipt_after,
    )


class SmppGateway(StreamGateway):
    """One configured connection to one SMPP centre."""

    def __init__(self, settings: SmppSettings, *, clock: Clock = system_clock) -> None:
        """Raise ValueError when the credentials do not fit the protocol's fields."""
        super().__init__(
            settings,
            caps=capabilities(settings),
            verdicts=codec.VERDICTS,
            clock=clock,
        )
        self._bind_command = codec.BINDS[settings.bind]
        self._bind_body = codec.bind_body(
            settings.system_id, settings.password, settings.system_type
        )
        self._writer = Writer(settings)

    def _new_session(self) -> SmppSession[Entry]:
        settings = self._stream
        return SmppSession(self, window=settings.window, timers=settings.timers)

    async def _bind(self, session: Life) -> None:
        assert isinstance(session, SmppSession)
        await session.bind(self._bind_command, self._bind_body)

    def _entries(self, message: Outgoing) -> list[tuple[Entry, bytes]]:
        return self._writer.entries(message)

    _number_of = staticmethod(codec.message_id_of)

    def _in_words(self, status: int) -> str:
        return in_words(status)

    def delivered(self, session: Life, sequence: int, body: bytes) -> None:
        """Pass a receipt or a customer's message on, unacknowledged; one that nobody can read is refused for good."""
        try:
            message = codec.read_deliver(body)
        except codec.MalformedPdu:
            self._counts["unreadable"] += 1
            session.answer_delivers([sequence], codec.REJECTED_BY_US)
            return
        ack = Ack(session, sequence)
        if codec.is_receipt(message):
            self._counts["receipts"] += 1
            self._report(self._receipt(message, ack))
        else:
            self._take_message(message, ack)

    def _receipt(self, message: codec.Deliver, ack: Ack) -> Receipt:
        report = codec.read_report(message)
        return Receipt(
            gateway_id=report.message_id,
            dest=message.source.removeprefix("+"),
            source=message.dest,
            client_ref=report.reference,
            state=report.state,
            code=report.code,
            heard_at=self._clock(),
            ack=ack,
        )

    def _take_message(self, message: codec.Deliver, ack: Ack) -> None:
        place, data = None, message.payload
        if message.esm_class & codec.UDHI:
            place, data = encoding.read_header(data)
        text = encoding.decode(data, message.data_coding)
        source = message.source.removeprefix("+")
        self._take_inbound(Piece(source, message.dest, text, ack), place)

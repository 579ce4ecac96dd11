"""One connection to a CMPP gateway; what it shares with other protocols is in ``stream_session``."""

from datetime import datetime
from typing import TypeVar

from services.messaging.gateways import cmpp_codec as codec
from services.messaging.gateways.stream_session import (
    BindRefused,
    Session,
    SessionOwner,
    Timers,
)

Entry = TypeVar("Entry")

UNPROVEN = -1
"""Stands for the status of a gateway that accepts us without knowing the secret."""

WRONG = "the gateway sent what is no PDU"


class CmppSession(Session[Entry]):
    """A CMPP session of version 2.0 or 3.0."""

    head = codec.HEADER
    longest = codec.LONGEST
    last_sequence = codec.LAST_SEQUENCE
    enquiry_name = "ACTIVE_TEST"

    def __init__(
        self,
        owner: SessionOwner[Entry],
        form: codec.Form,
        *,
        window: int,
        timers: Timers,
    ) -> None:
        """Speak the version of *form*."""
        super().__init__(owner, window=window, timers=timers)
        self._form = form
        self._ours = b""
        self._secret = ""

    async def connect(self, sp_id: str, secret: str, moment: datetime) -> None:
        """
        Connect as *sp_id*, and have the gateway prove that it knows *secret* too.

        Raises BindRefused, LinkFault, TimeoutError.
        """
        body = codec.connect_body(self._form, sp_id, secret, moment)
        self._ours, self._secret = body[6:22], secret
        frame = codec.pdu(codec.CONNECT, self._next(), body)
        status = await self._ask_to_bind(frame)
        if status == UNPROVEN:
            why = "the gateway did not prove that it knows the secret"
            raise BindRefused(why, hopeless=True)
        if status:
            why = f"connection refused: {codec.STATUS.get(status, f'status {status}')}"
            raise BindRefused(why, hopeless=status in codec.HOPELESS)

    def _take(self, head: tuple[int, ...], body: bytes) -> None:
        _, command, sequence = head
        if command == codec.SUBMIT_RESP:
            self._take_answer(sequence, body)
        elif command == codec.DELIVER:
            # the answer must repeat Msg_Id; a body too short for one is answered with what there is
            self._deliver(sequence, body, body[:8].ljust(8, b"\0"))
        elif command == codec.CONNECT_RESP:
            self._take_welcome(body)
        elif command == codec.ACTIVE_TEST:
            self._write(codec.pdu(codec.ACTIVE_TEST_RESP, sequence, b"\0"))
        elif command == codec.TERMINATE:
            self._write(codec.pdu(codec.TERMINATE_RESP, sequence))
            self._part("the gateway ended the connection")
        elif command == codec.TERMINATE_RESP:
            self._part("unbound")

    def _take_answer(self, sequence: int, body: bytes) -> None:
        try:
            result = codec.result_of(body)
        except codec.MalformedPdu:
            self.abort(WRONG)
            return
        self._answer(sequence, result, body)

    def _take_welcome(self, body: bytes) -> None:
        try:
            status, octets, proof = codec.read_connect_resp(body)
        except codec.MalformedPdu:
            self.abort(WRONG)
            return
        if not status and proof != codec.gateways_proof(
            octets, self._ours, self._secret
        ):
            status = UNPROVEN
        self._settle_bind(status)

    def _submission(self, sequence: int, size: int) -> bytes:
        return codec.HEADER.pack(codec.HEADER.size + size, codec.SUBMIT, sequence)

    def _receipt_of(self, sequence: int, repeated: bytes, status: int) -> bytes:
        body = codec.deliver_resp_body(self._form, repeated, status)
        return codec.pdu(codec.DELIVER_RESP, sequence, body)

    def _enquiry(self, sequence: int) -> bytes:
        return codec.pdu(codec.ACTIVE_TEST, sequence)

    def _farewell(self, sequence: int) -> bytes:
        return codec.pdu(codec.TERMINATE, sequence)

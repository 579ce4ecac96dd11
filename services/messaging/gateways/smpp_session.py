"""One bound connection to an SMPP centre; what it shares with other protocols is in ``stream_session``."""

from typing import TypeVar

from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.stream_session import BindRefused, Session

Entry = TypeVar("Entry")


class SmppSession(Session[Entry]):
    """An SMPP 3.4 session."""

    head = codec.HEADER
    longest = codec.LONGEST
    last_sequence = codec.LAST_SEQUENCE
    enquiry_name = "enquire_link"

    async def bind(self, command: int, body: bytes) -> None:
        """Bind as *command* says; raises BindRefused, LinkFault, TimeoutError."""
        status = await self._ask_to_bind(codec.pdu(command, self._next(), body))
        if status:
            why = f"bind refused: {codec.STATUS.get(status, hex(status))}"
            raise BindRefused(why, hopeless=status in codec.HOPELESS_BINDS)

    def _cut(self, data: bytes) -> None:
        """Take answers of one length, as most that come together are, in one go; what follows is cut one by one."""
        place, length, answer = 0, int.from_bytes(data[:4]), self._answer
        if codec.HEADER.size <= length <= codec.LONGEST_ANSWER:
            whole = memoryview(data)[: len(data) // length * length]
            frames = codec.frames(length).iter_unpack(whole)
            for size, command, status, sequence, body in frames:
                if size != length or command != codec.SUBMIT_RESP:
                    break
                answer(sequence, status, body)
                place += length
        super()._cut(data[place:])

    def _take(self, head: tuple[int, ...], body: bytes) -> None:
        _, command, status, sequence = head
        if command == codec.SUBMIT_RESP:
            self._answer(sequence, status, body)
        elif command == codec.DELIVER:
            self._deliver(sequence, body)
        elif command == codec.NACK:
            self._refused(sequence, status or codec.INVALID_COMMAND)
        elif command == codec.ENQUIRE:
            self._write(codec.pdu(codec.ENQUIRE_RESP, sequence))
        elif command == codec.UNBIND:
            self._write(codec.pdu(codec.UNBIND_RESP, sequence))
            self._part("the centre unbound")
        elif command == codec.UNBIND_RESP:
            self._part("unbound")
        elif command - codec.ANSWER in codec.BINDS.values():
            self._settle_bind(status)
        elif not command & codec.ANSWER:
            refusal = codec.pdu(codec.NACK, sequence, status=codec.INVALID_COMMAND)
            self._write(refusal)

    def _refused(self, sequence: int, status: int) -> None:
        """Take a generic_nack: it answers a submission, or even the bind."""
        if self._bound.done():
            self._answer(sequence, status, b"")
        else:
            self._settle_bind(status)

    def _submission(self, sequence: int, size: int) -> bytes:
        return codec.HEADER.pack(
            codec.HEADER.size + size, codec.SUBMIT, codec.OK, sequence
        )

    def _receipt_of(self, sequence: int, repeated: bytes, status: int) -> bytes:
        return codec.pdu(codec.DELIVER_RESP, sequence, b"\0", status=status)

    def _enquiry(self, sequence: int) -> bytes:
        return codec.pdu(codec.ENQUIRE, sequence)

    def _farewell(self, sequence: int) -> bytes:
        return codec.pdu(codec.UNBIND, sequence)

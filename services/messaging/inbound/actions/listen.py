"""The listener of one process: stores what its links hear, acknowledges it then, and confirms what it obeyed."""

from collections.abc import Awaitable, Iterable, Sequence
from functools import partial

import structlog

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork
from services.chassis.feed import cause_of
from services.chassis.vault import Vault
from services.chassis.worker import repeat
from services.messaging.delivery.actions.link import Link
from services.messaging.gateways import Inbound
from services.messaging.inbound.actions.confirm import confirm
from services.messaging.inbound.actions.hear import hear

log = structlog.get_logger()

PAGE = 200
"""Messages that are stored in one transaction."""


class Listener:
    """Hears customers through links."""

    def __init__(self, *, uow: UnitOfWork, caller: Caller, vault: Vault) -> None:
        """Store through *uow* as *caller*."""
        self._uow = uow
        self._caller = caller
        self._vault = vault

    async def take(self, link: Link) -> int:
        """Store what *link* heard, then acknowledge it; what cannot be stored stays with the centre."""
        found = await self._stored(link, link.said[:PAGE])
        if not found:
            return 0
        done = set(map(id, found))
        link.said[:] = [one for one in link.said if id(one) not in done]
        link.gateway.ack([one.ack for one in found])
        return len(found)

    async def _stored(self, link: Link, heard: Sequence[Inbound]) -> list[Inbound]:
        """Store messages together; where that fails, one by one, so that one alone keeps no other back."""
        if not heard:
            return []
        try:
            await self._hear(link, heard)
        except Exception as error:
            if len(heard) == 1:
                raise
            log.warning("inbound.unstored", gateway=link.name, cause=cause_of(error))
        else:
            return list(heard)
        found = []
        for one in heard:
            try:
                await self._hear(link, [one])
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep the next one waiting
                log.warning(
                    "inbound.unstored", gateway=link.name, cause=cause_of(error)
                )
            else:
                found.append(one)
        return found

    async def _hear(self, link: Link, heard: Sequence[Inbound]) -> None:
        count = await hear(
            self._uow,
            self._caller,
            self._vault,
            gateway=link.name,
            access=link.terms.access,
            messages=heard,
        )
        log.info("inbound.stored", gateway=link.name, heard=len(heard), new=count)

    async def confirm(self, link: Link) -> int:
        """Hand over the confirmations that wait for *link*."""
        return await confirm(self._uow, self._caller, self._vault, link=link)

    def loops(self, links: Iterable[Link]) -> list[Awaitable[None]]:
        """Return the endless loops, two for each link."""
        return [
            loop
            for link in links
            for loop in (
                repeat(f"inbound.{link.name}", partial(self.take, link), link.spoken),
                repeat(f"confirm.{link.name}", partial(self.confirm, link)),
            )
        ]

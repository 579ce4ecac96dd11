"""Several services in this process that really call and follow one another, moved along by the test's hand."""

from guanhu.events.v1 import events_pb2_grpc

from services.allocation.identity.queries import LocalKeys
from services.chassis.caller import service_caller
from services.chassis.clock import system_clock
from services.chassis.feed import Follower
from services.chassis.worker import DueRunner, ErrandRunner


class Town:
    """
    The services of one bank, allocation first: it gives the others their tokens.

    ``clock`` is the time of all services but allocation, whose tokens must hold by the machine's.
    """

    def __init__(self, bank, clock=system_clock):
        self.bank = bank
        self.clock = clock
        self.served = {}
        self._workers = {}

    async def start(self, *services):
        """Serve the declared *services* in the order given, and let each know where the others are."""
        for service in services:
            self.bank.clock = (
                system_clock if service.name == "allocation" else self.clock
            )
            running = await self.bank.serve(service)
            self.served[service.name] = running
            if service.name == "allocation":
                found = await LocalKeys(running.frame.uow).fetch()
                self.bank.keys.more.update(found.keys)
        for running in self.served.values():
            for name, other in self.served.items():
                setattr(running.frame.settings.shared, f"{name}_address", other.address)
            await running.frame.keyring.refresh()
        for service in services:
            self._workers[service.name] = self._steps(service)
        return self

    def _steps(self, service):
        frame = self.served[service.name].frame
        caller = service_caller(service.name)
        followers = [
            Follower(
                source=source,
                stub=events_pb2_grpc.FeedServiceStub(frame.peers.channel(source)),
                uow=frame.uow,
                bulk=frame.bulk,
                caller=caller,
                reactions=reactions,
            )
            for source, reactions in service.reactions(frame).items()
            if source in self.served
        ]
        errands = ErrandRunner(
            uow=frame.uow, caller=caller, peers=frame.peers, clock=frame.clock
        )
        return [errands, *followers]

    async def settle(self, rounds=200):
        """Let every service follow and run its errands until nothing is left to do."""
        for _ in range(rounds):
            done = 0
            for steps in self._workers.values():
                for step in steps:
                    done += await step.step()
            if not done:
                return
        raise AssertionError("the services never came to rest")

    async def due(self, name):
        """Run what is due by now in one service, in every branch; return how many runs there were."""
        running = self.served[name]
        runner = DueRunner(
            uow=running.frame.uow,
            bulk=running.frame.bulk,
            caller=service_caller(name),
            tree=lambda: running.frame.keyring.tree,
            clock=running.frame.clock,
            due=running.service.due(running.frame),
        )
        return await runner.step()

    def __getattr__(self, name):
        if name.startswith("_") or name not in self.served:
            raise AttributeError(name)
        return self.served[name]

    async def stop(self):
        """Stop all."""
        for running in reversed(self.served.values()):
            await running.stop()

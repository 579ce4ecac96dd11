"""An SMPP driver with short patience, and the core that listens to it."""

from services.messaging.gateways.smpp import SmppGateway
from services.messaging.gateways.smpp_writer import SmppSettings
from services.messaging.gateways.stream_session import Timers
from tests.listening import Core


def driver(port, *, kind=SmppGateway, **more):
    """Return a core that listens to a driver with short patience."""
    told = {
        "system_id": "guanhu",
        "password": "trial",
        "back_off": (0.02, 0.1),
        "timers": Timers(connect=5, answer=5, enquire=5, tick=0.02),
    }
    return Core(kind(SmppSettings(host="127.0.0.1", port=port, **told | more)))

"""What the contracts' enumerations of batch SMS are called: every number has a word, and none has another's."""

import pytest
from guanhu.customer.v1 import consent_pb2
from guanhu.messaging.v1 import (
    batch_pb2,
    delivery_pb2,
    gateway_pb2,
    inbound_pb2,
    template_pb2,
)

from admin import words

PAIRS = {
    "PURPOSE": consent_pb2.Purpose,
    "TEMPLATE": template_pb2.TemplateState,
    "BATCH": batch_pb2.BatchState,
    "RECIPIENT": batch_pb2.RecipientState,
    "EXCLUSION": batch_pb2.ExclusionReason,
    "POLICY": batch_pb2.UnknownPolicy,
    "DOUBT": delivery_pb2.DoubtCause,
    "INBOUND": inbound_pb2.InboundKind,
    "INBOUND_STATE": inbound_pb2.InboundState,
    "CONFIRMATION": inbound_pb2.ConfirmationState,
    "PROTOCOL": gateway_pb2.GatewayProtocol,
    "GATEWAY": gateway_pb2.GatewayState,
    "LINK": gateway_pb2.GatewayLinkState,
}


@pytest.mark.parametrize("name", PAIRS)
def test_every_number_of_an_enumeration_has_a_word(name):
    """A number without a word shows as a dash, and one that the contract does not know is a slip."""
    numbers = set(PAIRS[name].values()) - {0}

    assert set(getattr(words, name)) == numbers


def test_protocols_are_called_what_the_contract_calls_them():
    """The words of protocols begin as the contract's names do."""
    names = gateway_pb2.GatewayProtocol.DESCRIPTOR.values_by_number
    called = {number: str(word) for number, word in words.PROTOCOL.items()}
    told = {
        number: names[number].name.removeprefix("GATEWAY_PROTOCOL_").partition("_")[0]
        for number in called
    }

    assert {
        number: word.partition(" ")[0].upper() for number, word in called.items()
    } == told

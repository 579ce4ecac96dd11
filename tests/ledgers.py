"""A plain model of consent ledgers: entries are sets of cells, one per channel and purpose."""

from services.customer.consent.rules import Act, Channel, Purpose, Reason

CHANNELS, PURPOSES = list(Channel), list(Purpose)


def cells(entry):
    """Return the pairs of channel and purpose that an entry is about; consent is a matter of marketing."""
    channels = CHANNELS if not entry.channel else [entry.channel]
    purposes = [entry.purpose] if entry.purpose else PURPOSES
    if not entry.purpose and entry.act in (Act.GRANTED, Act.WITHDRAWN):
        purposes = [Purpose.MARKETING]
    return {(channel, purpose) for channel in channels for purpose in purposes}


def family(entry):
    """Say whether an entry is about not being disturbed; the others are about consent."""
    return entry.act in (Act.DO_NOT_DISTURB_SET, Act.DO_NOT_DISTURB_LIFTED)


def covered(entries, place):
    """Say whether a later entry of the same family covers the one at *place* whole."""
    one = entries[place]
    return any(
        family(later) == family(one) and cells(later) >= cells(one)
        for later in entries[place + 1 :]
    )


def standing(entries):
    """Return the entries that no later one of their family covers whole."""
    return [one for place, one in enumerate(entries) if not covered(entries, place)]


def expected(entries, channel, purpose):
    """Return what the ledger says against one channel and purpose; None when nothing."""
    here = [one for one in standing(entries) if (channel, purpose) in cells(one)]
    if any(one.act == Act.DO_NOT_DISTURB_SET for one in here):
        return Reason.DO_NOT_DISTURB
    consents = [
        one for one in entries if not family(one) and (channel, purpose) in cells(one)
    ]
    if consents:
        last = consents[-1].act
        return Reason.CONSENT_WITHDRAWN if last == Act.WITHDRAWN else None
    return Reason.CONSENT_MISSING if purpose == Purpose.MARKETING else None

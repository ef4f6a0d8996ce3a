"""What this library has logged. In its debug mode asyncio logs too, when the machine is slow."""

LOGGER = "libp2p.transport.webrtc"


def own_records(caplog):
    return [record for record in caplog.records if record.name.startswith(LOGGER)]

"""The backend does what any signaling backend has to do."""

import broker

from webrtc_signaling.testing import conformance

TestNats = conformance(broker.URL)

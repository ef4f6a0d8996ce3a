from tests.compliance.engine_compliance import EngineCompliance
from webrtc_transport.engine.memory_network import MemoryNetwork
from webrtc_transport.engine.memory_stack import MemoryEngine


class TestMemoryEngine(EngineCompliance):
    def engine(self):
        self.network = MemoryNetwork()
        return MemoryEngine(self.network)

    def silence(self, end):
        self.network.cut()


class TestMemoryEngineOverABadNetwork(TestMemoryEngine):
    """Delay and loss change nothing but the time."""

    def engine(self):
        self.network = MemoryNetwork(delay=0.002, jitter=0.002, loss=0.05, retransmission=0.01)
        return MemoryEngine(self.network)

from tests.compliance.wire_compliance import WireCompliance
from webrtc_transport.engine.aiortc_stack import AiortcEngine


class TestAiortcEngine(WireCompliance):
    def engine(self):
        return AiortcEngine()

    def silence(self, end):
        # As the kernel does with the sockets of a process that is killed.
        for port in end.peer._ice.agent._protocols:
            port._port.close()

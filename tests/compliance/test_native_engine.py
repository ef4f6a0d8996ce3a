from tests.compliance.engine_compliance import MESSAGE
from tests.compliance.wire_compliance import WireCompliance
from webrtc_transport.engine.native_stack import NativeEngine


class TestNativeEngine(WireCompliance):
    unfinished = MESSAGE

    def engine(self):
        return NativeEngine()

    def silence(self, end):
        # As the kernel does with the sockets of a process that is killed.
        for port in end.peer._ice.agent._protocols:
            port._port.close()

from webrtc_signaling.server.readiness import Readiness


def test_it_is_ready_until_a_check_says_why_not():
    readiness = Readiness()
    reason = None
    readiness.checks += [lambda: None, lambda: reason]
    assert readiness.reasons() == []
    reason = "Redis doesn't answer"
    assert readiness.reasons() == ["Redis doesn't answer"]
    reason = None
    assert readiness.reasons() == []


def test_a_server_that_is_about_to_end_is_not_ready():
    readiness = Readiness()
    readiness.end()
    assert readiness.reasons() == ["the server is shutting down"]

"""``webrtc-transport doctor``: what works here, what doesn't, and what helps."""

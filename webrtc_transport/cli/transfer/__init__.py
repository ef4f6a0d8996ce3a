"""A file between two machines: ``webrtc-transport send`` and ``webrtc-transport receive``."""

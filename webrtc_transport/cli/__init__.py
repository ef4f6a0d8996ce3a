"""The command ``webrtc-transport``: it looks over a set-up, and sends files. It needs the extra ``cli``."""

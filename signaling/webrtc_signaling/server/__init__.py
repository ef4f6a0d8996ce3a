"""The rendezvous server. Needs the extra ``server``; ``webrtc-signaling serve`` runs it."""

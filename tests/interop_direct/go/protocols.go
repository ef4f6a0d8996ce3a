package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
)

const (
	echoProtocol   = "/echo/1.0.0"   // copies until EOF, then ends its own side
	digestProtocol = "/digest/1.0.0" // reads until EOF, and only then answers, with the SHA-256
	resetProtocol  = "/reset/1.0.0"  // 'l': the listener resets; 'd': it echoes that, and tells how the stream ends
)

func serve(h host.Host) {
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		if _, err := io.Copy(s, s); err != nil {
			fail(s, err)
			return
		}
		s.Close()
	})
	h.SetStreamHandler(digestProtocol, func(s network.Stream) {
		digest := sha256.New()
		if _, err := io.Copy(digest, s); err != nil {
			fail(s, err)
			return
		}
		if _, err := s.Write(digest.Sum(nil)); err != nil {
			fail(s, err)
			return
		}
		s.Close()
	})
	h.SetStreamHandler(resetProtocol, serveReset)
}

func fail(s network.Stream, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", s.Protocol(), err)
	s.Reset()
}

func serveReset(s network.Stream) {
	order := make([]byte, 1)
	if _, err := io.ReadFull(s, order); err != nil || order[0] == 'l' {
		s.Reset()
		return
	}
	if _, err := s.Write(order); err != nil {
		s.Reset()
		return
	}
	_, err := io.Copy(io.Discard, s)
	tell(map[string]any{"event": "stream-ended", "how": howItEnded(err)})
	s.Reset()
}

func howItEnded(err error) string {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return "eof"
	case errors.Is(err, network.ErrReset):
		return "reset"
	default:
		return err.Error()
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
)

type fields = map[string]any

type dialer struct {
	host   host.Host
	remote peer.ID
}

func (d *dialer) run(ctx context.Context, r request) (fields, error) {
	switch r.Command {
	case "listen":
		return d.listen(r.Address)
	case "dial":
		return d.dial(ctx, r.Address)
	case "identify":
		return d.identify(ctx)
	case "ping":
		return d.ping(ctx)
	case "echo":
		return d.echo(ctx, r.Bytes, r.Chunk)
	case "streams":
		return d.streams(ctx, r.Count, r.AtOnce)
	case "half_close":
		return d.halfClose(ctx, r.Count, r.Chunk)
	case "reset":
		return d.reset(ctx, r.By)
	case "close":
		return fields{}, d.host.Network().ClosePeer(d.remote)
	default:
		return nil, fmt.Errorf("no command %q", r.Command)
	}
}

func (d *dialer) listen(address string) (fields, error) {
	a, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil, err
	}
	if err := d.host.Network().Listen(a); err != nil {
		return nil, err
	}
	addresses := []string{}
	for _, a := range d.host.Addrs() {
		addresses = append(addresses, fmt.Sprintf("%s/p2p/%s", a, d.host.ID()))
	}
	return fields{"addresses": addresses}, nil
}

func (d *dialer) dial(ctx context.Context, address string) (fields, error) {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	d.host.Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour)
	started := time.Now()
	if _, err := d.host.Network().DialPeer(ctx, info.ID); err != nil {
		return nil, err
	}
	d.remote = info.ID
	return fields{"peer": info.ID.String(), "seconds": time.Since(started).Seconds()}, nil
}

func (d *dialer) identify(ctx context.Context) (fields, error) {
	started := time.Now()
	service := d.host.(interface{ IDService() identify.IDService }).IDService()
	for _, c := range d.host.Network().ConnsToPeer(d.remote) {
		select {
		case <-service.IdentifyWait(c):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	agent, err := d.host.Peerstore().Get(d.remote, "AgentVersion")
	if err != nil {
		return nil, err
	}
	protocols, err := d.host.Peerstore().GetProtocols(d.remote)
	return fields{"agent": agent, "protocols": protocols, "seconds": time.Since(started).Seconds()}, err
}

func (d *dialer) ping(ctx context.Context) (fields, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := <-ping.Ping(ctx, d.host, d.remote)
	return fields{"seconds": answer.RTT.Seconds()}, answer.Error
}

func (d *dialer) open(ctx context.Context, name protocol.ID) (network.Stream, error) {
	return d.host.NewStream(ctx, d.remote, name)
}

// echo writes in chunks of that size; each is a message of its own, as long as it fits.
func (d *dialer) echo(ctx context.Context, size, chunkSize int) (fields, error) {
	content := make([]byte, size)
	rand.Read(content)
	started := time.Now()
	s, err := d.open(ctx, echoProtocol)
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	written := make(chan error, 1)
	go func() {
		written <- errors.Join(writeInChunks(s, content, chunkSize), s.CloseWrite())
	}()
	echoed := sha256.New()
	received, err := io.Copy(echoed, s)
	if err := errors.Join(err, <-written); err != nil {
		return nil, err
	}
	seconds := time.Since(started).Seconds()
	sent := sha256.Sum256(content)
	return fields{
		"sent": hex.EncodeToString(sent[:]), "received": hex.EncodeToString(echoed.Sum(nil)),
		"bytes": received, "seconds": seconds,
	}, s.Close()
}

func writeInChunks(s network.Stream, content []byte, size int) error {
	for chunk := range slices.Chunk(content, size) {
		if _, err := s.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// streams has all of them open, and each has been answered once, before the first one ends.
// At most so many at once wait for their first answer.
func (d *dialer) streams(ctx context.Context, count, atOnce int) (fields, error) {
	started := time.Now()
	places := make(chan struct{}, atOnce)
	var all, answered sync.WaitGroup
	answered.Add(count)
	failures := make(chan error, count)
	for i := range count {
		all.Go(func() { failures <- d.oneOfMany(ctx, []byte(fmt.Sprintf("stream %d", i)), places, &answered) })
	}
	all.Wait()
	close(failures)
	var failed []string
	for err := range failures {
		if err != nil {
			failed = append(failed, err.Error())
		}
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("%d of %d streams: %s", len(failed), count, strings.Join(failed[:1], ""))
	}
	return fields{"count": count, "seconds": time.Since(started).Seconds()}, nil
}

func (d *dialer) oneOfMany(ctx context.Context, text []byte, places chan struct{}, answered *sync.WaitGroup) error {
	places <- struct{}{}
	s, err := d.open(ctx, echoProtocol)
	if err == nil {
		defer s.Reset()
		_, err = s.Write(text)
	}
	echoed := make([]byte, len(text))
	if err == nil {
		_, err = io.ReadFull(s, echoed)
	}
	<-places
	answered.Done()
	if err != nil {
		return err
	}
	if !bytes.Equal(echoed, text) {
		return fmt.Errorf("sent %q, received %q", text, echoed)
	}
	answered.Wait()
	if err := s.CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(s)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	return errors.Join(err, s.Close())
}

func (d *dialer) halfClose(ctx context.Context, count, chunkSize int) (fields, error) {
	started := time.Now()
	content := make([]byte, 100_000)
	rand.Read(content)
	expected := sha256.Sum256(content)
	for range count {
		s, err := d.open(ctx, digestProtocol)
		if err != nil {
			return nil, err
		}
		defer s.Reset()
		if err := writeInChunks(s, content, chunkSize); err != nil {
			return nil, err
		}
		if err := s.CloseWrite(); err != nil {
			return nil, err
		}
		answer, err := io.ReadAll(s)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(answer, expected[:]) {
			return nil, fmt.Errorf("%d bytes of answer, not the digest", len(answer))
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return fields{"count": count, "seconds": time.Since(started).Seconds()}, nil
}

func (d *dialer) reset(ctx context.Context, by string) (fields, error) {
	s, err := d.open(ctx, resetProtocol)
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	if _, err := s.Write([]byte(by[:1])); err != nil {
		return nil, err
	}
	if by == "dialer" {
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			return nil, err
		}
		return fields{}, s.Reset()
	}
	_, err = io.Copy(io.Discard, s)
	return fields{"how": howItEnded(err)}, nil
}

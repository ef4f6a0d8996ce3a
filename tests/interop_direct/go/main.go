// A libp2p peer on go-libp2p that speaks webrtc-direct, driven by lines of JSON; ../README.md has the protocol.
//
//	interop-peer [-version 1|2]
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
)

var outputLock sync.Mutex

func tell(fields map[string]any) {
	line, err := json.Marshal(fields)
	if err != nil {
		log.Fatal(err)
	}
	outputLock.Lock()
	defer outputLock.Unlock()
	fmt.Printf("%s\n", line)
}

type request struct {
	ID      int    `json:"id"`
	Command string `json:"command"`
	Address string `json:"address"`
	Bytes   int    `json:"bytes"`
	Chunk   int    `json:"chunk"`
	Count   int    `json:"count"`
	AtOnce  int    `json:"at_once"`
	By      string `json:"by"`
}

func main() {
	version := flag.Int("version", 1, "the version of webrtc-direct to dial with; listening takes both")
	flag.Parse()

	h, err := libp2p.New(
		libp2p.NoTransports,
		libp2p.Transport(libp2pwebrtc.New, libp2pwebrtc.WithDialerVersion(*version)),
		libp2p.NoListenAddrs,
		libp2p.DisableRelay(),
		// The default limits are fewer streams of one protocol per peer than the tests open.
		libp2p.ResourceManager(&network.NullResourceManager{}),
	)
	if err != nil {
		log.Fatal(err)
	}
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			tell(map[string]any{"event": "connected", "peer": c.RemotePeer().String()})
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			tell(map[string]any{"event": "disconnected", "peer": c.RemotePeer().String()})
		},
	})
	serve(h)
	takeCommands(h)
	if err := h.Close(); err != nil {
		log.Fatal(err)
	}
}

// takeCommands answers each line of the standard input with one on the standard output.
func takeCommands(h host.Host) {
	d := &dialer{host: h}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			log.Fatal(err)
		}
		go func() {
			result, err := d.run(context.Background(), r)
			if err != nil {
				tell(map[string]any{"id": r.ID, "error": err.Error()})
			} else {
				tell(map[string]any{"id": r.ID, "result": result})
			}
		}()
	}
}

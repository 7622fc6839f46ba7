package ike_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"culvert/ike"
	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// spis hands out SPIs; in the daemon the dataplane does.
type spis struct{ last uint32 }

func (s *spis) AllocSPI(uint32) (uint32, error) { s.last++; return 255 + s.last, nil }
func (s *spis) FreeSPI(uint32)                  {}

// newGateway returns an engine at local, with the network own behind it, that knows one peer.
func newGateway(now time.Time, local, remote, own, other string) *ike.Engine {
	e := ike.New(ike.Config{Rand: rand.Reader, KE: suite.SystemGroups{}, SPIs: &spis{}}, now)
	network := func(prefix string) []selector.Selector {
		return []selector.Selector{selector.FromPrefix(netip.MustParsePrefix(prefix))}
	}
	peer := ike.Peer{
		Name: "peer", Local: netip.MustParseAddr(local), Remote: []netip.Addr{netip.MustParseAddr(remote)},
		LocalID:   identity.ID{Type: wire.IDFQDN, Data: local + ".example"},
		RemoteID:  identity.ID{Type: wire.IDFQDN, Data: remote + ".example"},
		PSK:       []byte("a secret that both know"),
		Proposals: suite.DefaultIKEProposals(), Lifetime: 8 * time.Hour,
		Children: []ike.Child{{
			Name: "lan", Local: network(own), Remote: network(other), Start: ike.StartNever,
			Proposals: suite.DefaultESPProposals(), Lifetime: time.Hour, ReplayWindow: 64,
		}},
	}
	e.Handle(now, ike.SetPeers{Peers: []ike.Peer{peer}}, new(ike.Effects))
	return e
}

// Two engines bring up a tunnel. An engine does no I/O: its caller carries out the effects of each
// input, which here means to hand messages to the other engine and to run computations.
func ExampleEngine() {
	now := time.Now()
	left := newGateway(now, "192.0.2.1", "192.0.2.2", "10.1.0.0/16", "10.2.0.0/16")
	right := newGateway(now, "192.0.2.2", "192.0.2.1", "10.2.0.0/16", "10.1.0.0/16")

	var handle func(name string, e, other *ike.Engine, in ike.Input)
	handle = func(name string, e, other *ike.Engine, in ike.Input) {
		var fx ike.Effects
		e.Handle(now, in, &fx)
		for _, f := range fx.List {
			switch f := f.(type) {
			case ike.Send:
				peer := map[string]string{"left": "right", "right": "left"}[name]
				handle(peer, other, e, ike.Datagram{Path: ipsec.NewPath(f.Path.Via(), f.Path.Remote(), f.Path.Local(), 0), Data: f.Data})
			case ike.Compute:
				handle(name, e, other, ike.Computed{ID: f.ID, Value: f.Run()})
			case ike.InstallInbound:
				fmt.Println(name, "receives", f.SA.RemoteTS, "with", f.SA.Cipher)
			case ike.ActivateOutbound:
				fmt.Println(name, "sends")
			case ike.Done:
				fmt.Println(name, "is done, error:", f.Err)
			}
		}
	}
	handle("left", left, right, ike.Connect{Peer: "peer", Child: "lan"})
	// Output:
	// right receives [10.1.0.0/16] with aes128gcm16
	// left receives [10.2.0.0/16] with aes128gcm16
	// left sends
	// left is done, error: <nil>
}

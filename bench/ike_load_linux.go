package bench

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"culvert/ike"
	"culvert/ike/certificate"
	"culvert/ike/driver"
	"culvert/ike/identity"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/internal/netlab"
	"culvert/selector"
)

// The proposals of all handshakes.
const (
	ikeProposal = "aes256gcm16-prfsha256-x25519"
	espProposal = "aes128gcm16"
)

// Names and networks of the two sides: many clients, and one server.
const (
	ikeServer     = "server.bench.example"
	ikeClients    = "*.clients.bench.example"
	ikeClientNets = "10.64.0.0/10"
)

func ikeClient(i int) string { return fmt.Sprintf("c%d.clients.bench.example", i) }

// ikeClientNet returns a client's own network, one address.
func ikeClientNet(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(64 + i>>16), byte(i >> 8), byte(i)}), 32)
}

// ikeFarNet returns what a client reaches where the subject is the client: a network of the
// server's for each, since strongSwan makes a route of it.
func ikeFarNet(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 32)
}

// An ikeLoad is our engine with its driver at sockets of a host, as many clients or as the server.
type ikeLoad struct {
	*driver.Driver
	plane   *ikePlane
	sockets *ikeSockets
	ended   sync.WaitGroup
	stop    context.CancelFunc
	clients int
	next    atomic.Int64 // client of the next handshake
}

// startIKELoad starts the load with the peers. The caller must close it.
func startIKELoad(h *netlab.Host, local netip.Addr, peers []ike.Peer) (*ikeLoad, error) {
	sockets, err := newIKESockets(h, local)
	if err != nil {
		return nil, err
	}
	l := &ikeLoad{plane: newIKEPlane(), sockets: sockets, clients: len(peers)}
	engine := ike.New(ike.Config{
		Rand: rand.Reader, KE: suite.SystemGroups{}, SPIs: l.plane,
		Limits:    ike.EngineLimits{CookieThreshold: 1 << 14, MaxHalfOpen: 1 << 15},
		LocalAddr: func(netip.Addr) netip.Addr { return local },
	}, time.Now())
	l.Driver = driver.New(driver.Config{Engine: engine, Plane: l.plane, Transport: sockets})
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.ended.Go(func() { _ = l.Run(ctx) })
	return l, l.SetPeers(ctx, peers, func([]ipsec.Policy, []ipsec.PolicyID) error { return nil })
}

// close ends the load without waiting for the answers to its Deletes.
func (l *ikeLoad) close() {
	l.stop()
	l.ended.Wait()
	l.sockets.Close()
}

// ikePeer returns an entry of the load: of client i, or of the server for all clients.
func ikePeer(pki *ikePKI, server bool, i int) (ike.Peer, error) {
	proposal, err := suite.ParseIKEProposal(ikeProposal)
	if err != nil {
		return ike.Peer{}, err
	}
	esp, err := suite.ParseESPProposal(espProposal)
	if err != nil {
		return ike.Peer{}, err
	}
	child := ike.Child{Name: "net", Proposals: []wire.Proposal{esp}, Start: ike.StartNever, Narrow: ike.NarrowPeer, Lifetime: 8 * time.Hour, ReplayWindow: 64}
	networks := [2]string{ikeClientNet(i).String(), rightNet}
	p := ike.Peer{Name: ikeClient(i), PSK: []byte(ikePSK), Proposals: []wire.Proposal{proposal}, Lifetime: 24 * time.Hour, Encap: ike.EncapAlways, Fragment: 1280}
	local, remote, side := ikeClient(i), ikeServer, 0
	if server {
		p.Name, p.Parties, p.MaxParties = "clients", true, 1<<16
		local, remote, side = ikeServer, ikeClients, 1
		networks = [2]string{rightNet, ikeClientNets}
	} else {
		p.Remote = []netip.Addr{ikeAddrs[1]}
	}
	if p.LocalID, err = identity.Parse(local); err != nil {
		return p, err
	}
	if p.RemoteID, err = identity.Parse(remote); err != nil {
		return p, err
	}
	if pki != nil {
		leaf, err := pki.leaf(local, side)
		if err != nil {
			return p, err
		}
		p.PSK = nil
		p.Certificates = &ike.Certificates{Own: []ike.OwnKey{{Signer: pki.sides[side], Chain: []*x509.Certificate{leaf, pki.inter.cert}}}, Trust: certificate.NewTrust([]*x509.Certificate{pki.root.cert})}
	}
	for n, list := range []*[]selector.Selector{&child.Local, &child.Remote} {
		*list = []selector.Selector{selector.FromPrefix(netip.MustParsePrefix(networks[n]))}
	}
	p.Children = []ike.Child{child}
	return p, nil
}

// ikePeers returns the entries of the first n clients.
func ikePeers(pki *ikePKI, n int) (peers []ike.Peer, err error) {
	for i := range n {
		p, err := ikePeer(pki, false, i)
		if err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// inFlight is the number of handshakes that are under way at a time: as many as a culvert begins to
// one host (ike/pacing), and fewer than those from which on either responder asks for cookies.
const inFlight = 48

// handshakes brings clients up and takes them down again for the time. It returns how long each
// took to come up, and how many of them did in time: the others were begun before its end.
func (l *ikeLoad) handshakes(ctx context.Context, d time.Duration) (took []time.Duration, inTime int, err error) {
	end := time.Now().Add(d)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var workers sync.WaitGroup
	at := min(inFlight, l.clients) // a time
	for first := range at {
		workers.Go(func() {
			// It has clients of its own: a slow one must not be taken down by another worker.
			for i := first; time.Now().Before(end) && ctx.Err() == nil; i += at {
				if i >= l.clients {
					i = first
				}
				name, begun := ikeClient(i), time.Now()
				if err := l.Do(ctx, ike.Connect{Peer: name}); err != nil {
					cancel(fmt.Errorf("%s: %w", name, err))
					return
				}
				now := time.Now()
				mu.Lock()
				took = append(took, now.Sub(begun))
				if now.Before(end) {
					inTime++
				}
				mu.Unlock()
				if err := l.Do(ctx, ike.Disconnect{Peer: name, Once: true, By: "the benchmark"}); err != nil {
					cancel(fmt.Errorf("%s: %w", name, err))
				}
			}
		})
	}
	workers.Wait()
	return took, inTime, context.Cause(ctx)
}

// hold brings all clients up and leaves them so.
func (l *ikeLoad) hold(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for i := int(l.next.Add(1) - 1); i < l.clients && ctx.Err() == nil; i = int(l.next.Add(1) - 1) {
				if err := l.Do(ctx, ike.Connect{Peer: ikeClient(i)}); err != nil {
					cancel(fmt.Errorf("%s: %w", ikeClient(i), err))
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

//go:build linux

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"culvert/internal/interop"
	"culvert/internal/netlab"
)

// Lifetimes of the cells. Those of the peer are exact, and those of culvert end up to a tenth
// earlier; its hard ones end a tenth later.
var (
	childSoft = slowness * 4 * time.Second
	childHard = slowness * 7 * time.Second
	ikeSoft   = slowness * 6 * time.Second
	// authLimit is how long an authentication is good for where it is limited.
	authLimit = slowness * 12 * time.Second
)

// slowness is by how much everything takes longer, as $CULVERT_INTEROP_SLOWNESS has it for the
// guests of make interop.
var slowness = func() time.Duration {
	n, _ := strconv.Atoi(os.Getenv("CULVERT_INTEROP_SLOWNESS"))
	return time.Duration(max(n, 1))
}()

// A setting is a cell that is being run.
type setting struct {
	cell        interop.Cell
	n           *network
	left, right string // where each side is reached
	children    []protected
	pki         *swanPKI // without a pre-shared key
	seen        *ikeSeen
	// ike and esp are the peer's proposals in a setting that is for algorithms.
	ike, esp []string
}

// protected are the networks of a child, as culvert at left has them. port limits the remote ones
// to a UDP port.
type protected struct {
	name, local, remote string
	port                uint16
	from, to            netip.Addr // addresses in them
}

// runCell runs one cell.
func runCell(t *testing.T, c interop.Cell) {
	r, begun := interop.Record{Cell: c.Name()}, time.Now()
	t.Cleanup(func() { // after those of the network, which look for leaks
		r.Seconds = int(time.Since(begun).Seconds())
		record(t, r)
	})
	s := newSetting(t, c)
	peer := s.start(t)
	r.Version = peer.version()
	left := s.culvert(t)
	if c.Initiator == interop.Them {
		for _, child := range s.children {
			peer.initiate(child.name)
		}
	}
	left.waitUp("right")
	s.wantNAT(t, left)
	s.live(t, left, &r)
	s.wantFeature(t, left, &r)
	s.down(t, left, peer)
}

func newSetting(t *testing.T, c interop.Cell) *setting {
	s := &setting{cell: c, children: []protected{{"v4", "10.1.0.0/24", "10.2.0.0/24", 0, leftLAN4, rightLAN4}}}
	s.build(t)
	lan2 := addr("10.2.1.1")
	switch c.Feature {
	case interop.Several:
		s.children = append(s.children, protected{"v6", "fd01::/64", "fd02::/64", 0, leftLAN6, rightLAN6},
			protected{"more", "10.1.0.0/24", "10.2.1.0/24", 0, leftLAN4, lan2})
		ok(t, s.n.right.LAN("lan2", "10.2.1.1/24"))
	case interop.Ports:
		s.children = []protected{{"v4", "10.1.0.0-10.1.0.77", "10.2.0.0-10.2.0.99", 0, leftLAN4, rightLAN4}}
		if c.Peer == interop.Libreswan { // it has no ranges
			s.children = []protected{{"v4", "10.1.0.0/25", "10.2.0.0/26", 0, leftLAN4, rightLAN4}}
		}
		s.children = append(s.children, protected{"port", "10.1.0.0/24", "10.2.1.0/24", 6000, leftLAN4, lan2})
		ok(t, s.n.right.LAN("lan2", "10.2.1.1/24"))
	}
	if kind := map[string]string{interop.RSA: "rsa3072", interop.ECDSA: "p256", interop.Ed25519: "ed25519"}[c.Auth]; kind != "" {
		s.pki = newSwanPKI(t, kind)
	}
	s.seen = watchIKE(t, s.n.right)
	return s
}

// build makes the network.
func (s *setting) build(t *testing.T) {
	o := outer4
	if s.cell.Outer == interop.IPv6 {
		o = outer6
	}
	p := swanPath{left: s.cell.NAT == interop.NATLeft || s.cell.NAT == interop.NATBoth,
		right: s.cell.NAT == interop.NATRight || s.cell.NAT == interop.NATBoth, outer: o}
	peer, _ := interop.Find(s.cell.Peer)
	p.top.watchLeft = peer.Where == interop.Guest
	connects := "culvert"
	if s.cell.Initiator == interop.Them {
		connects = "strongSwan"
	}
	s.n, s.left, s.right = p.build(t, connects)
}

// wantNAT checks that culvert has found the NATs. A peer that sends UDP only says that there is one
// at its side.
func (s *setting) wantNAT(t *testing.T, left *gateway) {
	t.Helper()
	want := map[string]string{interop.NoNAT: "none", interop.NATLeft: "local", interop.NATRight: "remote", interop.NATBoth: "both"}[s.cell.NAT]
	if p, _ := interop.Find(s.cell.Peer); p.UDPOnly {
		want = map[string]string{"none": "remote", "local": "both", "remote": "remote", "both": "both"}[want]
	}
	if got := left.peer("right").NAT; got != want {
		t.Errorf("culvert says NAT %q, want %q", got, want)
	}
}

// culvert starts culvert at left.
func (s *setting) culvert(t *testing.T) *gateway {
	t.Helper()
	left := newGateway(t, s.n.left)
	keys := fmt.Sprintf("remote = %q\n", s.right)
	if s.pki == nil {
		keys += identities("left", "right")
	} else {
		keys += s.pki.withCertificates(t, left)
	}
	start := "  start = \"never\"\n"
	if s.cell.Initiator == interop.Culvert {
		start = boot + "\n"
	}
	if s.cell.Rekeys == interop.Culvert && !s.reauthenticates() {
		keys += fmt.Sprintf("ike_lifetime = %q\n", s.ikeLifetime())
		start += fmt.Sprintf("  lifetime = { time = %q }\n", childSoft)
	}
	switch s.cell.Feature {
	case interop.Fragments:
		keys += "fragment = 576\n"
	case interop.Cookies:
		if s.cell.Initiator == interop.Them { // a group whose computation is dear: culvert asks for a cookie first
			keys += "ike_proposals = [\"" + dearProposal + "\"]\n"
		}
	case interop.PFSByUs, interop.PFSByBoth:
		keys += "pfs = \"require\"\n"
	case interop.ReauthWe:
		keys += fmt.Sprintf("auth_lifetime = %q\n", authLimit)
	}
	var children []string
	for _, c := range s.children {
		local, remote := c.local, c.remote
		if c.port != 0 {
			local, remote = local+" udp", fmt.Sprintf("%s udp/%d", remote, c.port)
		}
		children = append(children, childText(c.name, local, remote, start))
	}
	left.start(peerText("right", keys, children...))
	return left
}

// ikeLifetime returns culvert's lifetime of an IKE SA. A dear group takes a busy machine longer
// than a tenth of the usual one, which is all that a rekeying has until the hard end.
func (s *setting) ikeLifetime() time.Duration {
	if s.cell.Feature == interop.Cookies && s.cell.Initiator == interop.Them {
		return 4 * ikeSoft
	}
	return ikeSoft
}

// dearProposal is one of IKE for which culvert asks for a cookie.
const dearProposal = "aes128gcm16-prfsha256-modp3072"

func (s *setting) reauthenticates() bool {
	return s.cell.Feature == interop.ReauthWe || s.cell.Feature == interop.ReauthThe
}

// flows is the traffic of a cell.
type flows struct {
	streams []*netlab.Stream
	pairs   []string
}

// flow starts a stream of 50 packets/s each way on each child without ports.
func (s *setting) flow(t *testing.T) *flows {
	t.Helper()
	f := &flows{}
	for _, c := range s.children {
		if c.port != 0 {
			continue
		}
		out, err := netlab.StartStream(s.n.left, c.from, s.n.right, c.to, 50, 200)
		ok(t, err)
		back, err := netlab.StartStream(s.n.right, c.to, s.n.left, c.from, 50, 200)
		ok(t, err)
		f.streams, f.pairs = append(f.streams, out, back), append(f.pairs, c.name+" to the peer", c.name+" from the peer")
	}
	return f
}

// stop ends the traffic, and checks that no more than most packets of any stream are lost.
func (f *flows) stop(t *testing.T, most uint64, r *interop.Record) {
	t.Helper()
	for i, s := range f.streams {
		lost := s.Stop(3 * time.Second)
		r.Sent, r.Lost = r.Sent+s.Sent.Load(), r.Lost+lost
		if lost > most || s.Sent.Load() < 100 {
			t.Errorf("%s: %d of %d datagrams lost: %v", f.pairs[i], lost, s.Sent.Load(), s.Missing())
		}
	}
}

// live has traffic on the tunnel until the hard lifetimes of the first SAs are over, and checks
// that others have followed, and how much was lost. What is sent by a peer that has made a new IKE
// SA beside the old one may be lost in it.
func (s *setting) live(t *testing.T, left *gateway, r *interop.Record) {
	t.Helper()
	s.pingAll(t)
	first, begun, f := left.peer("right"), time.Now(), s.flow(t)
	ikes, children := map[string]bool{first.SPIi: true}, map[string]bool{}
	for _, c := range first.Children {
		children[c.SPIIn] = true
	}
	limit, most := childHard+slowness*500*time.Millisecond, uint64(0)
	if s.reauthenticates() {
		limit, most = authLimit, 5
	}
	left.wait(limit+slowness*30*time.Second, "other SAs in place of the first", "right", func(p peerStatus) bool {
		time.Sleep(slowness * 300 * time.Millisecond) // a look costs a process
		replaced := p.SPIi != first.SPIi && p.State == "established"
		for i, c := range p.Children {
			replaced = replaced && c.State == "installed" && c.SPIIn != first.Children[i].SPIIn
			if c.SPIIn != "" {
				children[c.SPIIn] = true
			}
		}
		ikes[p.SPIi] = true
		return replaced && time.Since(begun) > limit
	})
	f.stop(t, most, r)
	s.pingAll(t)
	r.IKESAs, r.ChildSAs = len(ikes)-1, len(children)-len(first.Children)
	if !s.reauthenticates() {
		wantNeverDown(t, left)
	}
}

// pingAll has packets go both ways on each child.
func (s *setting) pingAll(t *testing.T) {
	t.Helper()
	for _, c := range s.children {
		if c.port == 0 {
			s.n.wantTrafficOf(t, 1<<14, c.from, c.to)
			continue
		}
		server := udp(t, s.n.right, netip.AddrPortFrom(c.to, c.port), netip.AddrPort{})
		client := udp(t, s.n.left, netip.AddrPortFrom(c.from, 0), netip.AddrPortFrom(c.to, c.port))
		for range 5 {
			ok(t, echo(client, server, []byte("to a port"), 10*time.Second))
		}
		ok(t, server.Close())
	}
}

// wantFeature checks that the cell had what it is for, as far as this is seen at culvert or on the
// wire.
func (s *setting) wantFeature(t *testing.T, left *gateway, r *interop.Record) {
	t.Helper()
	if s.pki != nil {
		r.Note = strings.ToLower(s.cell.Auth) + " certificates with intermediate authorities"
	}
	ours, theirs, cookies := s.seen.counts()
	switch s.cell.Feature {
	case interop.Fragments:
		if r.Note = fmt.Sprintf("%d fragments by us, %d by them", ours, theirs); ours < 2 || theirs < 2 {
			t.Errorf("on the wire are %s", r.Note)
		}
	case interop.Cookies:
		if r.Note = fmt.Sprintf("%d requests with a cookie", cookies); cookies == 0 {
			t.Error("no request has a cookie")
		}
	case interop.PFSByUs, interop.PFSByThem, interop.PFSByBoth:
		if r.Note = left.child("right", "v4").Proposal; !strings.Contains(r.Note, "-x25519") && !strings.Contains(r.Note, "-ecp") && !strings.Contains(r.Note, "-modp") {
			t.Errorf("the Child SA has %s, without a key exchange", r.Note)
		}
	case interop.Defaults:
		p := left.peer("right")
		r.Note = p.Proposal + "; " + p.Children[0].Proposal
	}
}

// down has the side that connected end the tunnel, and the other notice it.
func (s *setting) down(t *testing.T, left *gateway, peer rival) {
	t.Helper()
	if s.cell.Initiator == interop.Culvert {
		left.do("down", "right")
	} else {
		peer.terminate()
	}
	left.wait(slowness*10*time.Second, "the end of the tunnel", "right", func(p peerStatus) bool {
		return p.State != "established" && !peer.connected()
	})
}

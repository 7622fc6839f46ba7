//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/internal/interop"
	"culvert/internal/netlab"
)

// Lifetimes of the cells. Those of the peer are exact, and those of culvert end up to a tenth
// earlier; its hard ones end a tenth later.
const (
	childSoft = 4 * time.Second
	childHard = 7 * time.Second
	ikeSoft   = 6 * time.Second
	// authLimit is how long an authentication is good for where it is limited.
	authLimit = 12 * time.Second
)

// A setting is a cell that is being run.
type setting struct {
	cell        interop.Cell
	n           *network
	left, right string // where each side is reached
	children    []protected
	pki         *swanPKI // without a pre-shared key
	first       peerStatus
	seen        *ikeSeen
	// ike and esp are the peer's proposals in a setting that is for algorithms.
	ike, esp []string
}

// protected are the networks of a child, as culvert at left has them. port limits the remote ones
// to a UDP port.
type protected struct {
	name, local, remote string
	port                uint16
	left, right         ends
}

// ends are an address of a side, and that of the other side as this one sees it.
type ends struct{ own, far netip.Addr }

// networkOf returns the networks of a child, and an address in each.
func networkOf(name, local, remote string, port uint16, left, right netip.Addr) protected {
	return protected{name, local, remote, port, ends{left, right}, ends{right, left}}
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
	left.wait(20*time.Second, "the tunnel to come up", "right", unhurried(peerStatus.up))
	s.wantNAT(t, left)
	s.live(t, left, &r)
	s.wantFeature(t, left, &r)
	s.down(t, left, peer)
}

func newSetting(t *testing.T, c interop.Cell) *setting {
	s := &setting{cell: c}
	s.build(t)
	s.protect(t)
	if kind := map[string]string{interop.RSA: "rsa3072", interop.ECDSA: "p256", interop.Ed25519: "ed25519"}[c.Auth]; kind != "" {
		s.pki = newSwanPKI(t, kind)
	}
	s.seen = watchIKE(t, s.n.right)
	return s
}

// protect chooses the children.
func (s *setting) protect(t *testing.T) {
	v4 := networkOf("v4", "10.1.0.0/24", "10.2.0.0/24", 0, leftLAN4, rightLAN4)
	more := networkOf("more", "10.1.0.0/24", "10.2.1.0/24", 0, leftLAN4, addr("10.2.1.1"))
	s.children = []protected{v4}
	if s.cell.Peer == interop.OpenIKED && s.cell.Outer == interop.IPv6 { // see its limits
		s.children = []protected{networkOf("v6", "fd01::/64", "fd02::/64", 0, leftLAN6, rightLAN6)}
	}
	switch s.cell.Feature {
	case interop.Several:
		s.children = append(s.children, networkOf("v6", "fd01::/64", "fd02::/64", 0, leftLAN6, rightLAN6), more)
	case interop.PerPair:
		s.children = append(s.children, more)
	case interop.Ports:
		s.children[0].local, s.children[0].remote = "10.1.0.0-10.1.0.77", "10.2.0.0-10.2.0.99"
		if s.cell.Peer == interop.Libreswan { // it has no ranges
			s.children[0].local, s.children[0].remote = "10.1.0.0/25", "10.2.0.0/26"
		}
		more.name, more.port = "port", 6000
		s.children = append(s.children, more)
	case interop.Transport:
		left, right := s.hosts()
		s.children = []protected{{"hosts", left.own.String(), left.far.String(), 0, left, right}}
	}
	if len(s.children) > 1 {
		ok(t, s.n.right.LAN("lan2", "10.2.1.1/24"))
	}
}

// outer returns the addresses of the two sides without NATs.
func (s *setting) outer() outer {
	if s.cell.Outer == interop.IPv6 {
		return outer6
	}
	return outer4
}

// behind reports for each side whether it is behind a NAT.
func (s *setting) behind() (left, right bool) {
	return s.cell.NAT == interop.NATLeft || s.cell.NAT == interop.NATBoth, s.cell.NAT == interop.NATRight || s.cell.NAT == interop.NATBoth
}

// hosts returns the addresses between which IKE and ESP go, as each side sees them.
func (s *setting) hosts() (left, right ends) {
	left, right = ends{addr(s.left), addr(s.right)}, ends{addr(s.outer().right), addr(s.left)}
	if behind, _ := s.behind(); behind {
		if left.own = addr("10.98.0.2"); left.far.Is6() {
			left.own = addr("fd98::2")
		}
	}
	return left, right
}

// build makes the network.
func (s *setting) build(t *testing.T) {
	p := swanPath{outer: s.outer()}
	p.left, p.right = s.behind()
	peer, _ := interop.Find(s.cell.Peer)
	p.top.watchLeft = peer.Where == interop.Guest
	if s.cell.Feature == interop.Transport {
		p.top.flows = betweenHosts()
	}
	connects := "culvert"
	if s.cell.Initiator == interop.Them {
		connects = "strongSwan"
	}
	s.n, s.left, s.right = p.build(t, connects)
}

// betweenHosts returns the packets that only transport mode may carry: all between addresses that
// either side has, or is seen at.
func betweenHosts() (flows []flow) {
	for _, pair := range [][2]string{
		{"192.0.2.1/32", "192.0.2.2/32"}, {"10.98.0.2/32", "192.0.2.2/32"}, {"192.0.2.1/32", forwarded + "/32"}, {"10.98.0.2/32", forwarded + "/32"},
		{"2001:db8::1/128", "2001:db8::2/128"}, {"fd98::2/128", "2001:db8::2/128"}, {"2001:db8::1/128", forwarded6 + "/128"}, {"fd98::2/128", forwarded6 + "/128"},
	} {
		f := outerFlow(pair[0], pair[1])
		f.fragments = true
		flows = append(flows, f)
	}
	return flows
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
	case interop.Childless: // a first Child SA has a key exchange of its own only without IKE_AUTH
		keys += "pfs = \"require\"\n"
		if s.cell.Initiator == interop.Culvert {
			keys += "childless = \"force\"\n"
		}
	case interop.Transport:
		start += "  mode = \"transport\"\n"
	case interop.PerPair:
		start += "  children = \"per-pair\"\n"
	}
	left.start(peerText("right", keys, s.culvertChildren(start)...))
	return left
}

// culvertChildren returns culvert's children, with more keys.
func (s *setting) culvertChildren(more string) (texts []string) {
	if s.cell.Feature == interop.PerPair { // one has all networks
		one, other := s.children[0], s.children[1]
		return []string{fmt.Sprintf("  [[peer.child]]\n  name = %q\n  local = [%q]\n  remote = [%q, %q]\n%s", one.name, one.local, one.remote, other.remote, more)}
	}
	for _, c := range s.children {
		local, remote := c.local, c.remote
		if c.port != 0 {
			local, remote = local+" udp", fmt.Sprintf("%s udp/%d", remote, c.port)
		}
		texts = append(texts, childText(c.name, local, remote, more))
	}
	return texts
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
		out, err := netlab.StartStreamAt(s.n.left, c.left.own, c.left.far, s.n.right, c.right.own, 50, 200)
		ok(t, err)
		back, err := netlab.StartStreamAt(s.n.right, c.right.own, c.right.far, s.n.left, c.left.own, 50, 200)
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
	s.first = left.peer("right")
	begun, f, first := time.Now(), s.flow(t), s.first.sas()
	ikes, children := map[string]bool{s.first.SPIi: true}, map[string]bool{}
	limit, most := childHard+500*time.Millisecond, uint64(0)
	if s.reauthenticates() {
		limit, most = authLimit, 5
	}
	left.wait(limit+30*time.Second, "other SAs in place of the first", "right", unhurried(func(p peerStatus) bool {
		replaced := p.SPIi != s.first.SPIi && p.State == "established"
		now := p.sas()
		for of, spi := range now {
			children[spi] = true
			replaced = replaced && spi != first[of]
		}
		ikes[p.SPIi] = true
		return replaced && len(now) == len(first) && time.Since(begun) > limit
	}))
	f.stop(t, most, r)
	s.pingAll(t)
	for _, spi := range first {
		delete(children, spi)
	}
	r.IKESAs, r.ChildSAs = len(ikes)-1, len(children)
	if !s.reauthenticates() {
		wantNeverDown(t, left)
	}
}

// sas returns the SPIs of the Child SAs that carry packets, by the child's name and its first
// remote network.
func (p peerStatus) sas() map[string]string {
	out := map[string]string{}
	for _, c := range p.Children {
		if c.State == "installed" && c.SPIIn != "" {
			out[c.Name+" "+c.RemoteTS[0]] = c.SPIIn
		}
		for _, part := range c.PartSAs {
			out[c.Name+" "+part.RemoteTS[0]] = part.SPIIn
		}
	}
	return out
}

// pingAll has packets go both ways on each child.
func (s *setting) pingAll(t *testing.T) {
	t.Helper()
	for _, c := range s.children {
		if c.port == 0 {
			s.traffic(t, c)
			continue
		}
		server := udp(t, s.n.right, netip.AddrPortFrom(c.right.own, c.port), netip.AddrPort{})
		client := udp(t, s.n.left, netip.AddrPortFrom(c.left.own, 0), netip.AddrPortFrom(c.left.far, c.port))
		for range 5 {
			ok(t, echo(client, server, []byte("to a port"), 10*time.Second))
		}
		ok(t, server.Close())
	}
}

// traffic has pings go both ways, and TCP to each side that is no other one to the sender.
func (s *setting) traffic(t *testing.T, c protected) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, way := range []struct {
		from, to *netlab.Host
		ends
		at netip.Addr
	}{{s.n.left, s.n.right, c.left, c.right.own}, {s.n.right, s.n.left, c.right, c.left.own}} {
		_, err := way.from.PingUntil(ctx, way.own, way.far, 500*time.Millisecond)
		ok(t, err)
		if way.far == way.at {
			_, err = netlab.Transfer(ctx, way.from, way.own, way.to, way.far, 1<<14)
			ok(t, err)
		}
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
		if r.Note = left.peer("right").Children[0].Proposal; !strings.Contains(r.Note, "-x25519") && !strings.Contains(r.Note, "-ecp") && !strings.Contains(r.Note, "-modp") {
			t.Errorf("the Child SA has %s, without a key exchange", r.Note)
		}
	case interop.Childless:
		r.Note = "the first Child SA has " + s.first.Children[0].Proposal
		if !strings.Contains(s.first.Children[0].Proposal, "-x25519") {
			t.Errorf("%s: it came up in IKE_AUTH", r.Note)
		}
	case interop.Transport:
		if r.Note = left.child("right", "hosts").Mode; r.Note != "transport" {
			t.Errorf("the Child SA is in mode %q", r.Note)
		}
	case interop.PerPair:
		parts := left.child("right", "v4").PartSAs
		if r.Note = fmt.Sprintf("%d Child SAs of one child", 1+len(parts)); len(parts) != 1 {
			t.Error(r.Note)
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
	left.wait(10*time.Second, "the end of the tunnel", "right", unhurried(func(p peerStatus) bool {
		return p.State != "established" && !peer.connected()
	}))
}

// unhurried returns a condition after which, where it does not hold, there is a pause: a look costs
// processes, and in a guest, whose clock stands still meanwhile, looks would follow each other
// without one.
func unhurried(cond func(peerStatus) bool) func(peerStatus) bool {
	return func(p peerStatus) bool {
		good := cond(p)
		if !good {
			time.Sleep(400 * time.Millisecond)
		}
		return good
	}
}

package ike

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// signature is a slow Credential. It stands for keys on smart cards and remote servers. It
// announces itself in IKE_SA_INIT, and sends its public key in IKE_AUTH.
type signature struct {
	own    ed25519.PrivateKey
	peers  ed25519.PublicKey
	err    error        // of Prove
	online func() error // of Verify
}

const (
	testSigns  wire.NotifyType = 50001 // in IKE_SA_INIT
	testKeyIs  wire.NotifyType = 50002 // in IKE_AUTH
	testMethod wire.AuthMethod = 201
)

func signatures() (left, right *signature) {
	l, r := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	return &signature{own: l, peers: r.Public().(ed25519.PublicKey)}, &signature{own: r, peers: l.Public().(ed25519.PublicKey)}
}

func (*signature) Init(bool) []wire.Payload {
	return []wire.Payload{&wire.Notify{Kind: testSigns}}
}

func (*signature) Ask() []wire.Payload { return nil }

func (c *signature) Prove(a *Authentication) ([]wire.Payload, error) {
	return []wire.Payload{
		&wire.Notify{Kind: testKeyIs, Data: c.own.Public().(ed25519.PublicKey)},
		&wire.Auth{Method: testMethod, Data: ed25519.Sign(c.own, a.Signed.Bytes())},
	}, c.err
}

func (c *signature) Accepts(auth *wire.Auth, ps []wire.Payload) error {
	n, ok := wire.FindNotify(ps, testKeyIs)
	if auth.Method != testMethod || !ok || !bytes.Equal(n.Data, c.peers) {
		return errors.New("does not sign with the key that is expected")
	}
	return nil
}

func (c *signature) Verify(a *Authentication) (func() error, error) {
	if !ed25519.Verify(c.peers, a.Signed.Bytes(), a.auth().Data) {
		return nil, errors.New("the signature is wrong")
	}
	return c.online, nil
}

func (*signature) Slow() bool { return true }

// signed gives both sides slow signatures as credentials.
func signedPair(t *testing.T, edit func(p *testPair, left, right *signature)) *testPair {
	return newPair(t, 1, func(p *testPair) {
		left, right := signatures()
		p.left.peers[0].PSK, p.left.peers[0].Credential = nil, left
		p.right.peers[0].PSK, p.right.peers[0].Credential = nil, right
		p.compute = func() time.Duration { return 200 * time.Millisecond }
		if edit != nil {
			edit(p, left, right)
		}
	})
}

// A slow credential brings up the same tunnel as a pre-shared key, from either side.
func TestSlowCredential(t *testing.T) {
	for _, from := range []string{"left", "right"} {
		p := signedPair(t, nil)
		s := p.left
		if from == "right" {
			s = p.right
		}
		ref := s.connect("")
		p.drive(3 * time.Second)
		p.wantDone(s, ref, "")
		p.wantTunnel()
	}
}

func TestCredentialIsAnnounced(t *testing.T) {
	p := signedPair(t, nil)
	p.script(true)
	p.left.connect("")
	p.drive(time.Second)
	m := p.wantSend("left asks", p.left, wire.IKESAInit, false, "...")
	if _, ok := wire.FindNotify(m.payloads, testSigns); !ok {
		p.fatalf("IKE_SA_INIT does not announce the credential: %v", m)
	}
	p.deliver(m)
	p.drive(time.Second)
	m = p.wantSend("right answers", p.right, wire.IKESAInit, true, "...")
	if _, ok := wire.FindNotify(m.payloads, testSigns); !ok {
		p.fatalf("the answer to IKE_SA_INIT does not announce the credential: %v", m)
	}
}

// What a credential has to find out from the network decides, and runs apart from other
// computations. The peer waits for as long as it takes.
func TestCredentialLooksUp(t *testing.T) {
	for _, why := range []error{nil, errors.New("the key was revoked")} {
		for role := range 2 {
			p := signedPair(t, func(p *testPair, left, right *signature) {
				[]*signature{left, right}[role].online = func() error { return why }
				p.lookUp = 9 * time.Second
			})
			p.left.connect("")
			p.drive(8 * time.Second)
			s := p.sides()[role]
			if st := s.e.Status()[0].State; st == PeerEstablished {
				p.fatalf("%s does not wait for what it looks up", s.name)
			}
			p.drive(4 * time.Second)
			if s.online != 1 || p.sides()[1-role].online != 0 {
				p.fatalf("%s looked up %d times, and the other side %d", s.name, s.online, p.sides()[1-role].online)
			}
			if why == nil {
				p.wantTunnel()
				continue
			}
			p.wantNoChild("lan")
			if said := s.saidAll(); !strings.Contains(said, why.Error()) {
				p.fatalf("%s says %q", s.name, said)
			}
		}
	}
}

// Both sides report what is wrong with a credential, and nothing comes up.
func TestCredentialIsWrong(t *testing.T) {
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	for name, tt := range map[string]struct {
		edit        func(p *testPair, left, right *signature)
		left, right string
	}{
		"left signs with another key":    {func(_ *testPair, left, _ *signature) { left.own = other }, "AUTHENTICATION_FAILED", "does not sign with the key"},
		"right signs with another key":   {func(_ *testPair, _, right *signature) { right.own = other }, "the peer does not sign with the key", "AUTHENTICATION_FAILED"},
		"left cannot sign":               {func(_ *testPair, left, _ *signature) { left.err = errors.New("the card is out") }, "cannot prove our identity: the card is out", ""},
		"right cannot sign":              {func(_ *testPair, _, right *signature) { right.err = errors.New("the card is out") }, "AUTHENTICATION_FAILED", "the card is out"},
		"left has a pre-shared key":      {func(p *testPair, _, _ *signature) { p.left.peers[0].Credential, p.left.peers[0].PSK = nil, testPSK() }, "AUTHENTICATION_FAILED", "does not sign"},
		"right wants a pre-shared key":   {func(p *testPair, _, _ *signature) { p.right.peers[0].Credential, p.right.peers[0].PSK = nil, testPSK() }, "AUTHENTICATION_FAILED", "not with a pre-shared key"},
		"right has nothing of its own":   {func(p *testPair, _, _ *signature) { p.right.peers[0].Credential = nil }, "AUTHENTICATION_FAILED", "no pre-shared key"},
		"left's signature is of another": {func(p *testPair, left, _ *signature) { p.left.peers[0].Credential = &forger{left} }, "AUTHENTICATION_FAILED", "the signature is wrong"},
		"right's signature is, too":      {func(p *testPair, _, right *signature) { p.right.peers[0].Credential = &forger{right} }, "the signature is wrong", "AUTHENTICATION_FAILED"},
	} {
		p := signedPair(t, tt.edit)
		p.left.connect("")
		p.drive(5 * time.Second)
		p.wantNoChild("lan")
		for _, side := range []struct {
			s    *testSide
			want string
		}{{p.left, tt.left}, {p.right, tt.right}} {
			if said := side.s.saidAll(); !strings.Contains(said, side.want) {
				p.fatalf("%s: %s says %q, want %q", name, side.s.name, said, side.want)
			}
		}
	}
}

// forger signs other octets than it should.
type forger struct{ *signature }

func (f *forger) Prove(a *Authentication) ([]wire.Payload, error) {
	other, octets := *a, *a.Signed
	octets.PeerNonce = []byte("another nonce")
	other.Signed = &octets
	return f.signature.Prove(&other)
}

// Several configured peers may be the initiator: each is tried with its own credential.
func TestCredentialOfSeveralCandidates(t *testing.T) {
	for name, tt := range map[string]struct{ psk, credential bool }{"a key": {psk: true}, "a signature": {credential: true}} {
		p := signedPair(t, func(p *testPair, left, right *signature) {
			var list []Peer
			for i, c := range []Credential{PSK("one key"), right, PSK(testPSK()), PSK("another key")} {
				peer := p.right.peers[0]
				peer.Name, peer.Credential = "candidate"+string(rune('0'+i)), c
				list = append(list, peer)
			}
			p.right.peers = list
			if tt.psk {
				p.left.peers[0].Credential, p.left.peers[0].PSK = nil, testPSK()
			}
		})
		ref := p.left.connect("")
		p.drive(3 * time.Second)
		p.wantDone(p.left, ref, "")
		want := "candidate1"
		if tt.psk {
			want = "candidate2"
		}
		for _, st := range p.right.e.Status() {
			if up := st.State == PeerEstablished; up != (st.Name == want) {
				p.fatalf("%s: %s is established: %v", name, st.Name, up)
			}
		}
	}
}

// A peer that is disconnected or removed, or an IKE SA that expires, during a signature or its
// verification leaves no state on either side.
func TestEndDuringSlowCredential(t *testing.T) {
	for name, end := range map[string]func(p *testPair){
		"left disconnects":    func(p *testPair) { p.left.disconnect("") },
		"left removes right":  func(p *testPair) { p.left.handle(SetPeers{}) },
		"right removes left":  func(p *testPair) { p.right.handle(SetPeers{}) },
		"left stops":          func(p *testPair) { p.left.handle(Shutdown{}) },
		"right stops":         func(p *testPair) { p.right.handle(Shutdown{}) },
		"right's is too slow": func(p *testPair) { p.compute = func() time.Duration { return 2 * halfOpenLife } },
		"right looks up":      func(p *testPair) { p.lookUp = 2 * halfOpenLife },
	} {
		for after := 100 * time.Millisecond; after < 2*time.Second; after += 50 * time.Millisecond {
			p := signedPair(t, nil)
			p.left.connect("")
			p.drive(after)
			end(p)
			p.drive(time.Millisecond)
			p.left.handle(SetPeers{})
			p.right.handle(SetPeers{})
			p.drive(5 * time.Minute)
			for _, s := range []*testSide{p.left, p.right} {
				if left := s.leftovers(); left != "" {
					p.fatalf("%s after %v: %s", name, after, left)
				}
			}
		}
	}
}

// A copy of an IKE_AUTH message that arrives during its verification is neither verified nor
// answered a second time.
func TestRepeatedDuringSlowCredential(t *testing.T) {
	p := signedPair(t, nil)
	proves := 0
	p.right.peers[0].Credential = &counted{p.right.peers[0].Credential.(*signature), &proves}
	p.right.handle(SetPeers{Peers: p.right.peers})
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKEAuth && !pk.msg.hdr.Response {
			return []time.Duration{time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond, time.Second}
		}
		return link(pk)
	}
	ref := p.left.connect("")
	p.drive(5 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
	if proves != 1 {
		p.fatalf("right signed %d times", proves)
	}
}

type counted struct {
	*signature
	proves *int
}

func (c *counted) Prove(a *Authentication) ([]wire.Payload, error) {
	*c.proves++
	return c.signature.Prove(a)
}

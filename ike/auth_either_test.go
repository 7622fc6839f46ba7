package ike

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/wire"
)

// A side has the credential of its kinds, of which it has what they need.
func TestKindsOfSides(t *testing.T) {
	c := newCertified(t, "ed25519")
	certs := &Certificates{Own: proves(c.left), Trust: trusts(c.root)}
	psk, cert, both := []AuthKind{AuthPSK}, []AuthKind{AuthCertificate}, []AuthKind{AuthCertificate, AuthPSK}
	for name, tt := range map[string]struct {
		p          Peer
		own, peers string
	}{
		"nothing":                   {Peer{}, "<nil>", "<nil>"},
		"a secret":                  {Peer{PSK: testPSK()}, "ike.PSK", "ike.PSK"},
		"secrets":                   {Peer{PSK: testPSK(), OtherPSKs: [][]byte{testPSK()}}, "ike.rotatedPSK", "ike.rotatedPSK"},
		"certificates":              {Peer{PSK: testPSK(), Certificates: certs}, "*ike.Certificates", "*ike.Certificates"},
		"our certificate":           {Peer{PSK: testPSK(), Certificates: &Certificates{Own: certs.Own}}, "*ike.Certificates", "ike.PSK"},
		"the peer's certificate":    {Peer{PSK: testPSK(), Certificates: &Certificates{Trust: certs.Trust}}, "ike.PSK", "*ike.Certificates"},
		"both of the peer":          {Peer{PSK: testPSK(), Certificates: certs, RemoteAuth: both}, "*ike.Certificates", "ike.either"},
		"both of ours":              {Peer{PSK: testPSK(), Certificates: certs, Auth: both}, "ike.either", "*ike.Certificates"},
		"our secret, both of peers": {Peer{PSK: testPSK(), Certificates: certs, Auth: psk, RemoteAuth: both}, "ike.PSK", "ike.either"},
		"a kind without a secret":   {Peer{Certificates: certs, Auth: psk, RemoteAuth: both}, "<nil>", "*ike.Certificates"},
		"a kind without a CA":       {Peer{PSK: testPSK(), RemoteAuth: cert}, "ike.PSK", "<nil>"},
	} {
		own, peers := tt.p.credentials()
		if got := fmt.Sprintf("%T", own); got != tt.own {
			t.Errorf("%s: we prove ourselves by %s", name, got)
		}
		if got := fmt.Sprintf("%T", peers); got != tt.peers {
			t.Errorf("%s: the peer proves itself by %s", name, got)
		}
	}
}

// What is configured holds; without, it is a certificate where there is one.
func TestKindsOfSide(t *testing.T) {
	psk, cert := []AuthKind{AuthPSK}, []AuthKind{AuthCertificate}
	for _, c := range []struct {
		configured []AuthKind
		certified  bool
		want       []AuthKind
	}{{nil, false, psk}, {nil, true, cert}, {psk, true, psk}, {cert, false, cert}, {append(cert, psk...), false, append(cert, psk...)}} {
		if got := KindsOfSide(c.configured, c.certified); !slices.Equal(got, c.want) {
			t.Errorf("%v, certified %v: %v, want %v", c.configured, c.certified, got, c.want)
		}
	}
}

// authKinds returns the method of AUTH in each direction.
func authKinds(p *testPair) map[bool]wire.AuthMethod {
	got := map[bool]wire.AuthMethod{}
	p.sees(func(m *testMessage) {
		if auth, ok := wire.Find[*wire.Auth](m.payloads); ok {
			got[m.from == p.left] = auth.Method
		}
	})
	return got
}

// Right has an entry for peers with a secret, and peers with a certificate. Each gets in, whoever
// initiates, and right proves itself to each as it expects.
func TestEitherProof(t *testing.T) {
	const psk, cert = wire.AuthSharedKey, wire.AuthDigitalSignature
	c := newCertified(t, "p256")
	both := []AuthKind{AuthCertificate, AuthPSK}
	for name, tt := range map[string]struct {
		left         func(p *Peer)
		auth         []AuthKind // of right
		left1, left2 wire.AuthMethod
	}{
		"a secret":                    {func(p *Peer) { p.Certificates = nil }, both, psk, psk},
		"certificates":                {func(p *Peer) { p.PSK = nil }, both, cert, cert},
		"certificates, PSK preferred": {func(p *Peer) { p.PSK = nil }, []AuthKind{AuthPSK, AuthCertificate}, cert, cert},
		"a secret for a certificate":  {func(p *Peer) { p.Certificates = &Certificates{Trust: p.Certificates.Trust} }, both, psk, cert},
		"a certificate for a secret":  {func(p *Peer) { p.Certificates = &Certificates{Own: p.Certificates.Own} }, []AuthKind{AuthPSK}, cert, psk},
		"both":                        {func(p *Peer) { p.Auth, p.RemoteAuth = both, both }, both, cert, cert},
		"both, right has PSK alone":   {func(p *Peer) { p.Auth, p.RemoteAuth = both, both }, []AuthKind{AuthPSK}, cert, psk},
	} {
		for from := range 2 {
			if from == 1 && name == "a secret" {
				continue // a peer with a secret alone announces nothing: right would not know
			}
			p := newPair(t, 1, func(p *testPair) {
				left, right := &p.left.peers[0], &p.right.peers[0]
				left.Certificates = &Certificates{Own: proves(c.left), Trust: trusts(c.root)}
				right.Certificates = &Certificates{Own: proves(c.right), Trust: trusts(c.root)}
				right.Auth, right.RemoteAuth = tt.auth, both
				tt.left(left)
			})
			got := authKinds(p)
			t.Log(name, from)
			if p.wantUp(p.sides()[from]); got[true] != tt.left1 || got[false] != tt.left2 {
				t.Errorf("%s, role %d: left by %v and right by %v", name, from, got[true], got[false])
			}
		}
	}
}

// A wrong secret and a wrong certificate are refused with the same words to the peer, and the log
// of this side tells which it was.
func TestEitherRefuses(t *testing.T) {
	c, other := newCertified(t, "p256"), newCertified(t, "p256")
	for name, tt := range map[string]struct {
		left func(p *Peer)
		want string
	}{
		"another secret":      {func(p *Peer) { p.PSK = []byte("another secret") }, "authentication of left.example.com failed: the pre-shared keys differ"},
		"another certificate": {func(p *Peer) { p.Certificates = &Certificates{Own: proves(other.left), Trust: trusts(c.root)} }, "whose key did not sign it"},
		"another method":      {func(p *Peer) { left, _ := signatures(); p.Credential = left }, "left.example.com authenticates with authentication method(201), neither with a certificate nor with a pre-shared key"},
	} {
		p := newPair(t, 1, func(p *testPair) {
			right := &p.right.peers[0]
			right.Certificates = &Certificates{Own: proves(c.right), Trust: trusts(c.root)}
			right.Auth, right.RemoteAuth = []AuthKind{AuthPSK, AuthCertificate}, []AuthKind{AuthPSK, AuthCertificate}
			tt.left(&p.left.peers[0])
		})
		answers := map[int]int{}
		p.sees(func(m *testMessage) {
			if m.from == p.right && m.hdr.Exchange == wire.IKEAuth {
				answers[len(m.pk.data)]++
			}
		})
		p.left.connect("")
		p.drive(3 * time.Second)
		p.wantNoChild("lan")
		if said := p.right.saidAll(); !strings.Contains(said, tt.want) {
			t.Errorf("%s: right says %q, want %q", name, said, tt.want)
		}
		if said := p.left.saidAll(); !strings.Contains(said, "AUTHENTICATION_FAILED") || len(answers) != 1 {
			t.Errorf("%s: left says %q, answers of %v", name, said, answers)
		}
	}
}

// Of several methods of ours the peer's announcement chooses, then what it does itself, then our
// preference.
func TestChooseEither(t *testing.T) {
	c := newCertified(t, "p256")
	certs := &Certificates{Own: proves(c.left), Trust: trusts(c.root)}
	ec, ed := c.left.Key.Public(), newCertified(t, "ed25519").left.Key.Public()
	announce := func(psk bool, keys ...crypto.PublicKey) []wire.Payload {
		ps := []wire.Payload{certificate.AnnounceMethods(false, keys)}
		if psk {
			ps = append(ps, certificate.AnnouncePSK())
		}
		return certificate.Merge(ps)
	}
	secret, signed := &wire.Auth{Method: wire.AuthSharedKey}, &wire.Auth{Method: wire.AuthDigitalSignature}
	hash := certificate.Announcement()
	for name, tt := range map[string]struct {
		init, auth []wire.Payload // of the peer; auth is nil for a responder
		first      bool           // the first of ours is used; otherwise the secret
	}{
		"nothing":                        {nil, nil, true},
		"a secret, to an initiator":      {announce(true), nil, false},
		"both, to an initiator":          {announce(true, ec), nil, true},
		"another key or a secret":        {announce(true, ed), nil, false},
		"another key":                    {announce(false, ed), nil, true},
		"a secret, to a responder":       {nil, append(announce(true), signed), false},
		"by a secret":                    {nil, []wire.Payload{secret}, false},
		"by a secret, asks":              {nil, []wire.Payload{trusts(c.root).Request(), secret}, true},
		"by a secret, has announced":     {nil, append(announce(true, ec), secret), true},
		"by a signature":                 {nil, []wire.Payload{signed}, true},
		"announced in the wrong place":   {announce(true), []wire.Payload{signed}, true},
		"by a secret, asks for its OCSP": {nil, []wire.Payload{certificate.RequestOCSP(), secret}, false},
	} {
		message := func(ps []wire.Payload) []byte {
			return (&wire.Message{Header: wire.Header{InitiatorSPI: 1, Exchange: wire.IKESAInit}, Payloads: append(slices.Clone(ps), hash)}).AppendTo(nil)
		}
		a := &Authentication{Own: message(nil), Peer: message(tt.init), Auth: tt.auth}
		for _, first := range []bool{true, false} {
			e := either{certs, PSK(testPSK())}
			if !first {
				slices.Reverse(e)
			}
			got, err := e.choose(a)
			want := !tt.first || !first // of a secret
			if err != nil || isPSK(got) != want {
				t.Errorf("%s, certificates first %v: %T, %v", name, first, got, err)
			}
		}
	}
	if _, err := (either{certs}).Prove(&Authentication{}); err == nil {
		t.Error("a message that cannot be parsed is no error")
	}
}

// The tunnel goes from a secret to certificates by reloads of one side after the other. Each new
// authentication works, and no packet is lost.
func TestFromSecretToCertificates(t *testing.T) {
	c := newCertified(t, "p256")
	both := []AuthKind{AuthCertificate, AuthPSK}
	p := newPair(t, 1, func(p *testPair) { p.left.peers[0].AuthLifetime = time.Minute })
	p.wantUp(p.left)
	got := authKinds(p)
	certs := map[*testSide]*Certificates{p.left: {Own: proves(c.left), Trust: trusts(c.root)}, p.right: {Own: proves(c.right), Trust: trusts(c.root)}}
	steps := []func(side *testSide, peer *Peer){
		func(side *testSide, peer *Peer) {
			peer.Certificates, peer.Auth, peer.RemoteAuth = certs[side], []AuthKind{AuthPSK}, both
		},
		func(_ *testSide, peer *Peer) { peer.Auth = nil },
		func(_ *testSide, peer *Peer) { peer.PSK, peer.RemoteAuth = nil, nil },
	}
	for i, step := range steps {
		for _, side := range p.sides() {
			was := p.left.e.peers.order[0].party.main()
			side.peers = slices.Clone(side.peers)
			step(side, &side.peers[0])
			side.handle(SetPeers{Peers: slices.Clone(side.peers)})
			if p.left.e.peers.order[0].party.main() != was {
				t.Fatalf("step %d: the IKE SA did not stay", i)
			}
			for left := 60; left > 0; left-- {
				p.left.traffic("lan")
				p.right.traffic("lan")
				p.drive(time.Second)
				if left > 10 && p.left.e.peers.order[0].party.main() != was {
					left = 10
				}
			}
			p.wantTunnel()
			p.wantNoLoss()
			if p.left.e.peers.order[0].party.main() == was {
				t.Fatalf("step %d: left did not authenticate again", i)
			}
		}
	}
	if got[true] != wire.AuthDigitalSignature || got[false] != wire.AuthDigitalSignature {
		t.Errorf("at the end they use %v", got)
	}
}

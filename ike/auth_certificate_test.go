package ike

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// certified are both sides' certificates, of one authority above two intermediate ones.
type certified struct {
	root, middle, lower *certtest.Pair
	left, right         *certtest.Pair
}

func newCertified(t testing.TB, kind string) *certified {
	c := &certified{root: certtest.CA(t, "root", kind, nil)}
	c.middle = certtest.CA(t, "middle", kind, c.root)
	c.lower = certtest.CA(t, "lower", kind, c.middle)
	c.left = c.lower.Issue(t, "left", kind, "left.example.com")
	c.right = c.lower.Issue(t, "right", kind, "right.example.com")
	return c
}

// proves returns a key with its certificates.
func proves(p *certtest.Pair) []OwnKey { return []OwnKey{{p.Key, p.Chain()}} }

func trusts(cas ...*certtest.Pair) *certificate.Trust {
	var list []*x509.Certificate
	for _, ca := range cas {
		list = append(list, ca.Cert)
	}
	return certificate.NewTrust(list)
}

// give sets both sides' credentials. Without its own certificate, or trust in the other's, a side
// has a pre-shared key in place of it.
func (p *testPair) give(left, right *Certificates) {
	for s, c := range map[*testSide]*Certificates{p.left: left, p.right: right} {
		peer := &s.peers[0]
		peer.Certificates, peer.PSK = c, nil
		if len(c.Own) == 0 || !c.verifies() {
			peer.PSK = testPSK()
		}
	}
}

// certifiedPair is a pair whose sides have certificates.
func certifiedPair(t *testing.T, c *certified, edit func(p *testPair, left, right *Certificates)) *testPair {
	return newPair(t, 1, func(p *testPair) {
		left := &Certificates{Own: proves(c.left), Trust: trusts(c.root)}
		right := &Certificates{Own: proves(c.right), Trust: trusts(c.root)}
		if edit != nil {
			edit(p, left, right)
		}
		p.give(left, right)
	})
}

// wantUp brings the tunnel up from a side.
func (p *testPair) wantUp(from *testSide) {
	p.t.Helper()
	ref := from.connect("")
	p.drive(3 * time.Second)
	p.wantDone(from, ref, "")
	p.wantTunnel()
}

// Each kind of key authenticates both sides, whoever initiates.
func TestCertificates(t *testing.T) {
	for _, kind := range []string{"rsa2048", "p256", "p384", "p521", "ed25519"} {
		c := newCertified(t, kind)
		for _, fromRight := range []bool{false, true} {
			p := certifiedPair(t, c, nil)
			p.wantUp(p.sides()[map[bool]int{false: 0, true: 1}[fromRight]])
		}
	}
}

// Only the responder's own AUTH, for an initiator whose AUTH holds, is told to be for a peer that
// has proved who it is.
func TestProofsAreForWhoHasProved(t *testing.T) {
	c := newCertified(t, "p256")
	p := certifiedPair(t, c, nil)
	p.wantUp(p.left)
	if p.left.proved != 0 || p.right.proved != 1 {
		t.Errorf("%d computations of the initiator and %d of the responder, want 0 and 1", p.left.proved, p.right.proved)
	}
	p = certifiedPair(t, c, func(_ *testPair, left, _ *Certificates) { left.Own[0].Signer = c.right.Key })
	p.left.connect("")
	p.drive(2 * time.Second)
	if n := p.right.e.Counters()["ike_authentication_failed"]; n == 0 || p.right.proved != 0 {
		t.Errorf("%d failures, and %d computations for whoever has a wrong key", n, p.right.proved)
	}
}

// The messages have what the RFCs want: the hash algorithms in both of IKE_SA_INIT, the authorities
// in its response and in the request of IKE_AUTH, and the certificates in order.
func TestCertificatesInMessages(t *testing.T) {
	c := newCertified(t, "p256")
	p := certifiedPair(t, c, nil)
	p.script(true)
	p.left.connect("")
	m := p.wantSend("left asks", p.left, wire.IKESAInit, false, "...")
	wantPayloads(t, "IKE_SA_INIT", m, 1, 0, 0)
	p.deliver(m)
	m = p.wantSend("right answers", p.right, wire.IKESAInit, true, "...")
	wantPayloads(t, "its response", m, 1, 1, 0)
	p.deliver(m)
	p.scripted = false
	sent := map[bool]*testMessage{}
	p.sees(func(m *testMessage) {
		if m.hdr.Exchange == wire.IKEAuth && m.payloads != nil {
			sent[m.hdr.Response] = m
		}
	})
	p.drive(2 * time.Second)
	p.wantTunnel()
	wantPayloads(t, "IKE_AUTH", sent[false], 0, 1, 3)
	wantPayloads(t, "its response", sent[true], 0, 0, 3)
	first, _ := wire.Find[*wire.Cert](sent[true].payloads)
	if string(first.Data) != string(c.right.Cert.Raw) {
		t.Error("the first certificate is not that of the key")
	}
	for _, m := range sent {
		if auth, _ := wire.Find[*wire.Auth](m.payloads); auth.Method != wire.AuthDigitalSignature {
			t.Errorf("the method is %v", auth.Method)
		}
	}
}

func wantPayloads(t *testing.T, what string, m *testMessage, hashes, requests, certs int) {
	t.Helper()
	var got [3]int
	for _, p := range m.payloads {
		switch p := p.(type) {
		case *wire.Notify:
			if p.Kind == wire.SignatureHashAlgorithms {
				got[0]++
			}
			if p.Kind == wire.HTTPCertLookupSupported {
				t.Errorf("%s: certificates are not fetched", what)
			}
		case *wire.CertReq:
			got[1]++
		case *wire.Cert:
			got[2]++
		}
	}
	if got != [3]int{hashes, requests, certs} {
		t.Errorf("%s has %v, want %d, %d and %d: %v", what, got, hashes, requests, certs, m)
	}
}

// sees has a function see every message that is sent.
func (p *testPair) sees(see func(m *testMessage)) {
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil {
			see(pk.msg)
		}
		return link(pk)
	}
}

// Both sides report what is wrong with a certificate; the other side learns that it failed, and no
// more, and nothing comes up.
func TestCertificateIsWrong(t *testing.T) {
	c, other := newCertified(t, "p256"), newCertified(t, "p256")
	issue := func(edit func(*x509.Certificate)) []OwnKey {
		tmpl := certtest.Template("left", "left.example.com")
		edit(tmpl)
		return proves(certtest.Sign(t, tmpl, c.left.Key, c.lower))
	}
	for name, tt := range map[string]struct {
		edit  func(p *testPair, left, right *Certificates)
		left  bool // left is the one that refuses
		words []string
	}{
		"another authority": {edit: func(_ *testPair, left, _ *Certificates) { left.Own = proves(other.left) },
			words: []string{"authentication of left.example.com failed: the certificate O=Example, CN=middle names O=Example, CN=root as its issuer, whose key did not sign it"}},
		"another authority of the responder": {edit: func(_ *testPair, _, right *Certificates) { right.Own = proves(other.right) }, left: true,
			words: []string{"authentication of right.example.com failed", "certificate 1: O=Example, CN=right, issued by O=Example, CN=lower", "whose key did not sign it"}},
		"no intermediate": {edit: func(_ *testPair, left, _ *Certificates) { left.Own[0].Chain = left.Own[0].Chain[:1] },
			words: []string{"the issuer of O=Example, CN=left, O=Example, CN=lower, is neither in ca nor among the 0 intermediate certificates that it sent"}},
		"one intermediate": {edit: func(_ *testPair, left, _ *Certificates) { left.Own[0].Chain = left.Own[0].Chain[:2] },
			words: []string{"certificate 1: O=Example, CN=left, issued by O=Example, CN=lower, valid from 2020-01-01T00:00:00Z to", "certificate 2: O=Example, CN=lower, issued by O=Example, CN=middle", "the issuer of O=Example, CN=lower, O=Example, CN=middle, is neither in ca nor among the 1 intermediate"}},
		"expired": {edit: func(_ *testPair, left, _ *Certificates) {
			left.Own = issue(certtest.Validity(certtest.Start, epoch.Add(-time.Hour)))
		}, words: []string{"the certificate O=Example, CN=left expired at 2025-12-31T23:00:00Z, and the clock of this host shows 2026-01-01T00:00:00Z"}},
		"not yet valid": {edit: func(_ *testPair, left, _ *Certificates) {
			left.Own = issue(certtest.Validity(epoch.Add(time.Hour), epoch.Add(2*time.Hour)))
		}, words: []string{"the certificate O=Example, CN=left is not valid before 2026-01-01T01:00:00Z"}},
		"another name": {edit: func(_ *testPair, left, _ *Certificates) {
			left.Own = issue(func(tmpl *x509.Certificate) { tmpl.DNSNames = []string{"other.example.com"} })
		}, words: []string{"its certificate O=Example, CN=left is not for its identity left.example.com; it is for: other.example.com"}},
		"the responder's name": {edit: func(p *testPair, _, _ *Certificates) {
			p.left.peers[0].RemoteID.Data, p.right.peers[0].LocalID.Data = "other.example.com", "other.example.com"
		}, left: true, words: []string{"its certificate O=Example, CN=right is not for its identity other.example.com"}},
		"another key": {edit: func(_ *testPair, left, _ *Certificates) { left.Own[0].Signer = other.left.Key },
			words: []string{"with the certificate O=Example, CN=left, its signature is wrong"}},
		"no certificate": {edit: func(_ *testPair, left, _ *Certificates) { left.Own[0].Chain = nil },
			words: []string{"it sends no certificate; have it send one, or set remote_key"}},
		"another purpose": {edit: func(_ *testPair, left, right *Certificates) {
			left.Own, right.Purpose = issue(func(tmpl *x509.Certificate) { tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), certificate.Server
		}, words: []string{`authentication of left.example.com failed: the certificate O=Example, CN=left has the extended key usage clientAuth; remote_eku = "server" wants serverAuth`}},
		"the responder's purpose": {edit: func(_ *testPair, left, _ *Certificates) { left.Purpose = certificate.Client }, left: true,
			words: []string{`the certificate O=Example, CN=right has the extended key usage none; remote_eku = "client" wants clientAuth`}},
		"revoked": {edit: func(_ *testPair, _, right *Certificates) {
			right.Revoked = func([]*x509.Certificate, [][]byte, time.Time) error {
				return errors.New("the certificate O=Example, CN=left was revoked yesterday")
			}
		}, words: []string{"the certificate O=Example, CN=left was revoked yesterday"}},
		"a pre-shared key": {edit: func(_ *testPair, left, _ *Certificates) { left.Own = nil },
			words: []string{"left.example.com authenticates with a pre-shared key, not with a certificate"}},
		"a pre-shared key wanted": {edit: func(_ *testPair, _, right *Certificates) { right.Trust = nil },
			words: []string{"left.example.com authenticates with Digital Signature, not with a pre-shared key"}},
		"a broken key": {edit: func(_ *testPair, left, _ *Certificates) { left.Own[0].Signer = brokenKey{left.Own[0].Signer} }, left: true,
			words: []string{"cannot prove our identity: our key does not sign: the card is out"}},
		"our own is too weak": {edit: func(_ *testPair, left, _ *Certificates) {
			weak, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				t.Fatal(err)
			}
			left.Own[0].Signer = weak
		}, left: true, words: []string{"cannot prove our identity: our side has an RSA key of 1024 bits, which is too short"}},
	} {
		p := certifiedPair(t, c, tt.edit)
		p.left.connect("")
		p.drive(5 * time.Second)
		p.wantNoChild("lan")
		judge, judged := p.right, p.left
		if tt.left {
			judge, judged = p.left, p.right
		}
		said := judge.saidAll()
		for _, w := range tt.words {
			if !strings.Contains(said, w) {
				t.Errorf("%s: %s says %q, want %q", name, judge.name, said, w)
			}
		}
		if said := judged.saidAll(); !strings.Contains(said, "AUTHENTICATION_FAILED") && judged.sentRequests[wire.IKEAuth] > 0 || strings.Contains(said, "CN=lower") {
			t.Errorf("%s: %s says %q", name, judged.name, said)
		}
		p.left.handle(SetPeers{})
		p.right.handle(SetPeers{})
		p.drive(2 * time.Minute)
		for _, s := range p.sides() {
			if left := s.leftovers(); left != "" {
				t.Errorf("%s: %s", name, left)
			}
		}
	}
}

// brokenKey is a key whose signatures fail.
type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the card is out")
}

// The revocation hook is called with a chain that is trusted, and the responses that came with it,
// and never for another, nor for a peer that has not proved that it has the key.
func TestRevokedIsAskedAfterTrust(t *testing.T) {
	c, other := newCertified(t, "p256"), newCertified(t, "p256")
	for _, left := range []string{"trusted", "of another CA", "a copy"} {
		var asked [][]string
		trusted := left == "trusted"
		p := certifiedPair(t, c, func(_ *testPair, own, right *Certificates) {
			switch left {
			case "of another CA":
				own.Own = proves(other.left)
			case "a copy":
				own.Own[0].Signer = other.left.Key
			}
			right.Revoked = func(chain []*x509.Certificate, stapled [][]byte, now time.Time) error {
				var names []string
				for _, cert := range chain {
					names = append(names, cert.Subject.CommonName)
				}
				if now.Before(epoch) || len(stapled) != 0 {
					t.Errorf("asked at %v with %d responses", now, len(stapled))
				}
				asked = append(asked, names)
				return nil
			}
		})
		p.left.connect("")
		p.drive(3 * time.Second)
		want := [][]string{{"left", "lower", "middle", "root"}}
		if !trusted {
			want = nil
		}
		if !slices.EqualFunc(asked, want, slices.Equal) {
			t.Errorf("%s: asked for %v", left, asked)
		}
		if (p.right.online == 1) != trusted || p.left.online != 0 {
			t.Errorf("%s: %d and %d computations wait for the network", left, p.right.online, p.left.online)
		}
	}
}

// The CERTREQ for certificates is behind those for OCSP responses and raw keys.
func TestCertificatesAreAskedForLast(t *testing.T) {
	c := newCertified(t, "p256")
	p := certifiedPair(t, c, func(_ *testPair, left, _ *Certificates) {
		left.Revoked = func([]*x509.Certificate, [][]byte, time.Time) error { return nil }
	})
	credential := certificatesOf(p.sides()[0])
	for _, raw := range []bool{false, true} {
		credential.RemoteKeys = nil
		if raw {
			credential.RemoteKeys = []crypto.PublicKey{c.right.Key.Public()}
		}
		var got []wire.CertEncoding
		for _, q := range credential.Ask() {
			if r, ok := q.(*wire.CertReq); ok {
				got = append(got, r.Encoding)
			}
		}
		if n := len(got); n < 2 || got[n-1] != wire.CertX509Signature || slices.Contains(got[:n-1], wire.CertX509Signature) {
			t.Errorf("raw keys %v: asked for %v", raw, got)
		}
	}
}

// A side that looks up what was revoked asks for OCSP responses, in both roles, and has those that
// the peer sends along.
func TestOCSPIsRequested(t *testing.T) {
	c := newCertified(t, "p256")
	for _, asks := range []bool{true, false} {
		for role := range 2 {
			given := 0
			p := certifiedPair(t, c, func(_ *testPair, left, right *Certificates) {
				if asks {
					[]*Certificates{left, right}[role].Revoked = func(_ []*x509.Certificate, stapled [][]byte, _ time.Time) error {
						given = len(stapled)
						return nil
					}
				}
			})
			requests := 0
			for _, ps := range [][]wire.Payload{certificatesOf(p.sides()[role]).Ask(), certificatesOf(p.sides()[role]).Init(false)} {
				for _, q := range ps {
					if r, ok := q.(*wire.CertReq); ok && r.Encoding == wire.CertOCSPContent && len(r.Data) == 0 {
						requests++
					}
				}
			}
			if (requests == 2) != asks {
				t.Errorf("asks %v: %d requests", asks, requests)
			}
			p.wantUp(p.left)
			if given != 0 {
				t.Errorf("%d responses that nobody sent", given)
			}
		}
	}
}

// A side that has an OCSP response for its certificate sends it to a peer that asks for one, behind
// the certificates, in both roles.
func TestOCSPIsStapled(t *testing.T) {
	c := newCertified(t, "p256")
	for name, tt := range map[string]struct {
		asks bool
		has  int // octets
		want int // responses
	}{
		"asked": {true, 100, 1}, "not asked": {false, 100, 0}, "nothing at hand": {true, 0, 0}, "the longest": {true, maxStapled, 1}, "too long": {true, maxStapled + 1, 0},
	} {
		for role := range 2 {
			var given [][]byte
			p := certifiedPair(t, c, func(_ *testPair, left, right *Certificates) {
				sides := []*Certificates{left, right}
				if tt.asks {
					sides[role].Revoked = func(_ []*x509.Certificate, stapled [][]byte, _ time.Time) error {
						given = stapled
						return nil
					}
				}
				sides[1-role].Staple = func(chain []*x509.Certificate, now time.Time) []byte {
					if len(chain) != 3 || now.Before(epoch) {
						t.Errorf("asked for a chain of %d at %v", len(chain), now)
					}
					return make([]byte, tt.has)
				}
			})
			sent := 0
			p.sees(func(m *testMessage) {
				for i, q := range m.payloads {
					if cert, ok := q.(*wire.Cert); ok && cert.Encoding == wire.CertOCSPContent {
						if _, ok := m.payloads[i+1].(*wire.Auth); !ok || m.from != p.sides()[1-role] {
							t.Errorf("%s: sent in %v", name, m)
						}
						sent++
					}
				}
			})
			if p.wantUp(p.left); len(given) != tt.want || sent != tt.want || tt.want == 1 && len(given[0]) != tt.has {
				t.Errorf("%s, role %d: %d responses came, %d were sent", name, role, len(given), sent)
			}
		}
	}
}

// certificatesOf returns the certificates of a side's peer.
func certificatesOf(s *testSide) *Certificates { return s.peers[0].Certificates }

// The sides may have different methods: a certificate and a pre-shared key, either way.
func TestCertificateAndKey(t *testing.T) {
	c := newCertified(t, "ed25519")
	for _, leftProves := range []bool{true, false} {
		for _, from := range []int{0, 1} {
			p := certifiedPair(t, c, func(_ *testPair, left, right *Certificates) {
				if leftProves {
					left.Trust, right.Own = nil, nil
				} else {
					left.Own, right.Trust = nil, nil
				}
			})
			p.wantUp(p.sides()[from])
		}
	}
	p := certifiedPair(t, c, func(p *testPair, left, right *Certificates) { left.Trust, right.Own = nil, nil })
	p.right.peers[0].PSK = []byte("another secret")
	p.right.handle(SetPeers{Peers: p.right.peers})
	p.left.connect("")
	p.drive(3 * time.Second)
	p.wantNoChild("lan")
	if said := p.left.saidAll(); !strings.Contains(said, "authentication of right.example.com failed: the pre-shared keys differ") {
		t.Errorf("left says %q", said)
	}
}

// A chain passes in fragments of 1280 octets over a path of that MTU, from either side.
func TestCertificatesInFragments(t *testing.T) {
	c := newCertified(t, "rsa2048")
	for _, from := range []int{0, 1} {
		fragments := 0
		p := certifiedPair(t, c, func(p *testPair, _, _ *Certificates) {
			link := p.link
			p.link = func(pk *testPacket) []time.Duration {
				if len(pk.data) > 1280-28 {
					return nil
				}
				if pk.msg != nil && pk.msg.fragment != "" {
					fragments++
				}
				return link(pk)
			}
		})
		p.wantUp(p.sides()[from])
		if fragments < 6 {
			t.Errorf("%d fragments were sent", fragments)
		}
	}
}

// Raw public keys that each side knows of the other authenticate without certificates.
func TestPinnedKeys(t *testing.T) {
	c, other := newCertified(t, "ed25519"), newCertified(t, "p256")
	pin := func(keys ...*certtest.Pair) (list []crypto.PublicKey) {
		for _, k := range keys {
			list = append(list, k.Key.Public())
		}
		return list
	}
	pinned := func(edit func(left, right *Certificates)) *testPair {
		return certifiedPair(t, c, func(p *testPair, left, right *Certificates) {
			left.Own, right.Own = []OwnKey{{Signer: c.left.Key}}, []OwnKey{{Signer: c.right.Key}}
			left.Trust, right.Trust = nil, nil
			left.RemoteKeys, right.RemoteKeys = pin(c.right), pin(c.left)
			if edit != nil {
				edit(left, right)
			}
		})
	}
	sent := 0
	p := pinned(nil)
	p.sees(func(m *testMessage) {
		if cert, ok := wire.Find[*wire.Cert](m.payloads); ok && cert.Encoding == wire.CertRawPublicKey {
			sent++
		}
	})
	if p.wantUp(p.left); sent != 2 {
		t.Errorf("%d raw keys were sent, want both (RFC 7670)", sent)
	}
	for name, edit := range map[string]func(left, right *Certificates){
		"rotated":            func(_, right *Certificates) { right.RemoteKeys = pin(other.left, c.left) },
		"with a certificate": func(left, _ *Certificates) { left.Own = proves(c.left) },
		"or an authority": func(_, right *Certificates) {
			right.RemoteKeys, right.Trust = pin(other.left), trusts(c.root)
		},
	} {
		p := pinned(edit)
		if name == "or an authority" {
			p.left.peers[0].Certificates.Own = proves(c.left)
			p.left.handle(SetPeers{Peers: p.left.peers})
		}
		t.Log(name)
		p.wantUp(p.left)
	}
	p = pinned(func(_, right *Certificates) { right.RemoteKeys = pin(other.left) })
	p.left.connect("")
	p.drive(3 * time.Second)
	p.wantNoChild("lan")
	if said := p.right.saidAll(); !strings.Contains(said, "its key (Ed25519) is not the one in remote_key") {
		t.Errorf("right says %q", said)
	}
}

// unannounced are certificates of a peer from before RFC 7427.
type unannounced struct{ *Certificates }

func (u unannounced) Init(initiator bool) []wire.Payload { return u.Certificates.Init(initiator)[1:] }

// A peer without RFC 7427 and this side use the methods from before it. SHA-1 needs to be allowed,
// and Ed25519 does not work.
func TestCertificatesWithOldPeers(t *testing.T) {
	for kind, want := range map[string]wire.AuthMethod{"rsa2048": wire.AuthRSASignature, "p256": wire.AuthECDSAP256, "p384": wire.AuthECDSAP384, "p521": wire.AuthECDSAP521, "ed25519": 0} {
		c := newCertified(t, kind)
		for _, from := range []int{0, 1} {
			p := certifiedPair(t, c, nil)
			peer := &p.left.peers[0]
			peer.Credential = unannounced{peer.Certificates}
			p.left.handle(SetPeers{Peers: p.left.peers})
			methods := map[wire.AuthMethod]int{}
			p.sees(func(m *testMessage) {
				if auth, ok := wire.Find[*wire.Auth](m.payloads); ok {
					methods[auth.Method]++
				}
			})
			if want != 0 {
				if p.wantUp(p.sides()[from]); methods[want] != 2 || len(methods) != 1 {
					t.Errorf("%s: %v", kind, methods)
				}
				continue
			}
			p.sides()[from].connect("")
			p.drive(3 * time.Second)
			p.wantNoChild("lan")
			if said := p.left.saidAll() + p.right.saidAll(); !strings.Contains(said, "the peer does not support RFC 7427") {
				t.Errorf("they say %q", said)
			}
		}
	}
	c := newCertified(t, "rsa2048")
	for _, allowed := range []bool{true, false} {
		p := certifiedPair(t, c, func(_ *testPair, left, right *Certificates) { left.SHA1, right.SHA1 = true, allowed })
		peer := &p.left.peers[0]
		peer.Credential = unannounced{peer.Certificates}
		p.left.handle(SetPeers{Peers: p.left.peers})
		if allowed {
			p.wantUp(p.left)
			continue
		}
		p.left.connect("")
		p.drive(3 * time.Second)
		p.wantNoChild("lan")
		if said := p.right.saidAll(); !strings.Contains(said, "it signs with SHA1, which is not accepted; have the peer use RFC 7427 or SHA2-256, or allow it by rsa_sha1") {
			t.Errorf("right says %q", said)
		}
	}
}

// Of several certificates, the one is used that suits the peer.
func TestChooseCertificate(t *testing.T) {
	a, b := newCertified(t, "p256"), newCertified(t, "rsa2048")
	ed := b.lower.Issue(t, "left", "ed25519", "left.example.com")
	old := certtest.Template("left", "left.example.com")
	old.NotAfter = epoch.Add(-time.Hour)
	expired := certtest.Sign(t, old, b.left.Key, b.lower)
	stranger := b.lower.Issue(t, "left", "p384", "other.example.com")
	all := certificate.Announced([]wire.Payload{certificate.Announcement()})
	rsaAlone := certificate.ParseMethods([]wire.Payload{certificate.AnnounceMethods(false, []crypto.PublicKey{b.left.Key.Public()})})
	for name, tt := range map[string]struct {
		own    []*certtest.Pair
		peer   certificate.Hashes
		wanted *certtest.Pair // the authority
		theirs *certtest.Pair
		want   int

		methods certificate.Methods
	}{
		"the first":              {own: []*certtest.Pair{a.left, b.left}, peer: all, want: 0},
		"of its authority":       {own: []*certtest.Pair{a.left, b.left}, peer: all, wanted: b.root, want: 1},
		"of an intermediate":     {own: []*certtest.Pair{a.left, b.left}, peer: all, wanted: b.middle, want: 1},
		"of its kind":            {own: []*certtest.Pair{a.left, b.left}, peer: all, theirs: b.right, want: 1},
		"not expired":            {own: []*certtest.Pair{expired, a.left}, peer: all, wanted: b.root, want: 1},
		"for our identity":       {own: []*certtest.Pair{stranger, a.left}, peer: all, wanted: b.root, want: 1},
		"of an algorithm of its": {own: []*certtest.Pair{ed, a.left}, wanted: b.root, want: 1},
		"authority before kind":  {own: []*certtest.Pair{a.left, ed}, peer: all, wanted: a.root, theirs: ed, want: 0},
		"expired, but alone":     {own: []*certtest.Pair{expired}, peer: all, want: 0},
		"as it announced":        {own: []*certtest.Pair{a.left, b.left}, peer: all, want: 1, methods: rsaAlone},
		"announced, first":       {own: []*certtest.Pair{expired, a.left}, peer: all, want: 0, methods: rsaAlone},
	} {
		c := &Certificates{Trust: trusts(a.root, b.root)}
		for _, o := range tt.own {
			c.Own = append(c.Own, proves(o)...)
		}
		auth := &Authentication{ID: identity.ID{Type: wire.IDFQDN, Data: "left.example.com"}, Now: epoch}
		var wanted certificate.Wanted
		if tt.wanted != nil {
			wanted = certificate.ParseWanted([]wire.Payload{trusts(tt.wanted).Request()})
		}
		if tt.theirs != nil {
			auth.Auth = []wire.Payload{&wire.Cert{Encoding: wire.CertX509Signature, Data: tt.theirs.Cert.Raw}}
		}
		if got := c.choose(auth, tt.peer, wanted, tt.methods); got != &c.Own[tt.want] {
			t.Errorf("%s: another one", name)
		}
	}
}

// A certificate and an authority are replaced by reloads of both sides, one after the other, while
// the tunnel is up. Each new authentication works, and no packet is lost.
func TestCertificatesAreRotated(t *testing.T) {
	older, newer := newCertified(t, "p256"), newCertified(t, "ed25519")
	p := certifiedPair(t, older, func(p *testPair, _, _ *Certificates) { p.left.peers[0].AuthLifetime = time.Minute })
	p.wantUp(p.left)
	for step, change := range []func(left, right *Certificates){
		func(left, _ *Certificates) { left.Trust = trusts(older.root, newer.root) },
		func(_, right *Certificates) { right.Trust = trusts(older.root, newer.root) },
		func(left, _ *Certificates) { left.Own = proves(newer.left) },
		func(_, right *Certificates) { right.Own = proves(newer.right) },
		func(left, _ *Certificates) { left.Trust = trusts(newer.root) },
		func(_, right *Certificates) { right.Trust = trusts(newer.root) },
	} {
		left, right := *p.left.peers[0].Certificates, *p.right.peers[0].Certificates
		change(&left, &right)
		was := p.left.e.peers.order[0].party.main()
		for s, c := range map[*testSide]*Certificates{p.left: &left, p.right: &right} {
			s.peers = slices.Clone(s.peers)
			s.peers[0].Certificates = c
			s.handle(SetPeers{Peers: slices.Clone(s.peers)})
		}
		if p.left.e.peers.order[0].party.main() != was {
			t.Fatalf("step %d: the IKE SA did not stay", step)
		}
		for left := 60; left > 0; left-- {
			p.left.traffic("lan")
			p.right.traffic("lan")
			p.drive(time.Second)
			if left > 10 && p.left.e.peers.order[0].party.main() != was {
				left = 10 // until what it replaced is gone
			}
		}
		p.wantTunnel()
		p.wantNoLoss()
		if p.left.e.peers.order[0].party.main() == was {
			t.Fatalf("step %d: left did not authenticate again", step)
		}
	}
}

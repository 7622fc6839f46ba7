package ike

import (
	"bytes"
	"crypto"
	"slices"
	"testing"

	"culvert/ike/certificate"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// methodsIn returns the SUPPORTED_AUTH_METHODS of a message, and whether there is one.
func methodsIn(m *testMessage) ([]byte, bool) {
	n, ok := wire.FindNotify(m.payloads, wire.SupportedAuthMethods)
	if !ok {
		return nil, false
	}
	return n.Data, true
}

// Who verifies signatures announces which, the responder in IKE_SA_INIT to a caller that knows
// signatures, the initiator in IKE_AUTH.
func TestMethodsAreAnnounced(t *testing.T) {
	c := newCertified(t, "p256")
	any, psk := certificate.AnnounceMethods(true, nil).Data, certificate.AnnouncePSK().Data
	pinned := []crypto.PublicKey{c.left.Key.Public(), c.right.Key.Public()}
	for name, tt := range map[string]struct {
		edit       func(p *testPair, left, right *Certificates)
		init, auth []byte // nil: there is none
	}{
		"certificates": {init: any, auth: any},
		"raw keys": {edit: func(_ *testPair, left, right *Certificates) {
			*left, *right = Certificates{Own: left.Own, RemoteKeys: pinned}, Certificates{Own: right.Own, RemoteKeys: pinned}
		}, init: certificate.AnnounceMethods(false, pinned).Data, auth: certificate.AnnounceMethods(false, pinned).Data},
		"the initiator has a secret":  {edit: func(_ *testPair, left, right *Certificates) { left.Own, right.Trust = nil, nil }, auth: any},
		"the responder has a secret":  {edit: func(_ *testPair, left, right *Certificates) { left.Trust, right.Own = nil, nil }, init: any},
		"a secret of another besides": {edit: func(p *testPair, _, _ *Certificates) { p.right.peers = append(p.right.peers, other(p)) }, init: slices.Concat(any, psk), auth: any},
	} {
		p := certifiedPair(t, c, tt.edit)
		var init, auth []byte
		p.sees(func(m *testMessage) {
			switch data, ok := methodsIn(m); {
			case !ok:
			case m.hdr.Exchange == wire.IKESAInit && m.hdr.Response:
				init = data
			case m.hdr.Exchange == wire.IKEAuth && !m.hdr.Response:
				auth = data
			default:
				t.Errorf("%s: announced in %v", name, m)
			}
		})
		p.wantUp(p.left)
		if !bytes.Equal(init, tt.init) || !bytes.Equal(auth, tt.auth) {
			t.Errorf("%s: %x in IKE_SA_INIT and %x in IKE_AUTH, want %x and %x", name, init, auth, tt.init, tt.auth)
		}
	}
}

// other returns a peer of the right side that may call from anywhere, with a secret.
func other(p *testPair) Peer {
	peer := defaultPeer(p.right, p.left)
	peer.Name, peer.Remote, peer.RemoteID.Data, peer.Certificates = "other", nil, "other.example.com", nil
	peer.PSK = testPSK()
	return peer
}

// A responder announces no methods to a caller that knows no signatures, nor where the response
// would not fit an MTU of 1280, or would be much longer than the request.
func TestMethodsAreLeftOut(t *testing.T) {
	all := encodeAnnouncement([]wire.Payload{certificate.Announcement(), certificate.AnnounceMethods(true, nil)})
	without, hashes := encodeAnnouncement([]wire.Payload{certificate.Announcement()}), certificate.Announcement()
	room := maxResponse - octetsOfResponse - len(all)
	short := (octetsOfResponse + 32 + len(all) + maxAmplification - 1) / maxAmplification
	p := newPair(t, 1, nil)
	path := ipsec.UDPPath(p.right.home(), p.left.home())
	for name, tt := range map[string]struct {
		ke, octets int // of the request
		request    []wire.Payload
		want       string
	}{
		"no hashes":     {32, 1000, nil, without},
		"small":         {32, 1000, []wire.Payload{hashes}, all},
		"MODP-8192":     {1024, 1500, []wire.Payload{hashes}, without},
		"at most":       {room, 1500, []wire.Payload{hashes}, all},
		"one more":      {room + 1, 1500, []wire.Payload{hashes}, without},
		"short":         {32, short, []wire.Payload{hashes}, all},
		"one too short": {32, short - 1, []wire.Payload{hashes}, without},
	} {
		d := Datagram{Path: path, Data: make([]byte, tt.octets)}
		if got := announcedTo(d, append(tt.request, &wire.KE{Data: make([]byte, tt.ke)}), announcementOf(all)); got != tt.want {
			t.Errorf("%s: %x", name, got)
		}
	}
	secret := encodeAnnouncement([]wire.Payload{certificate.AnnouncePSK()})
	if got := announcedTo(Datagram{Path: path, Data: make([]byte, 1000)}, []wire.Payload{&wire.KE{}, hashes}, announcementOf(secret)); got != "" {
		t.Errorf("a secret alone: %x", got)
	}
}

// announcing are certificates that announce other methods.
type announcing struct {
	*Certificates
	data []byte
}

func (a announcing) Ask() []wire.Payload {
	return append(certificate.WithoutMethods(a.Certificates.Ask()), &wire.Notify{Kind: wire.SupportedAuthMethods, Data: a.data})
}

func (a announcing) Init(initiator bool) []wire.Payload {
	ps := []wire.Payload{certificate.Announcement()}
	if !initiator {
		ps = append(ps, a.Ask()...)
	}
	return ps
}

// A side signs by what its peer has announced, in either role. What it announces that is malformed,
// or of no use, counts for nothing.
func TestMethodsAreFollowed(t *testing.T) {
	c := newCertified(t, "rsa2048")
	ec := c.lower.Issue(t, "left", "p256", "left.example.com")
	pss := certificate.AnnounceMethods(false, []crypto.PublicKey{c.left.Key.Public()}).Data
	pkcs1 := pss[bytes.LastIndex(pss, []byte{18, 14, 0}):] // with SHA2-512
	for name, tt := range map[string]struct {
		data []byte
		want int // octets of the AlgorithmIdentifier that left signs by
	}{
		"PKCS #1":   {pkcs1, 15},
		"ECDSA":     {certificate.AnnounceMethods(false, []crypto.PublicKey{ec.Key.Public()}).Data, 12},
		"a secret":  {certificate.AnnouncePSK().Data, 67},
		"malformed": {append(slices.Clone(pkcs1), 0), 67},
	} {
		for from := range 2 {
			if name == "malformed" && from == 0 {
				continue // a responder merges what it announces
			}
			p := certifiedPair(t, c, func(_ *testPair, left, _ *Certificates) { left.Own = append(left.Own, proves(ec)...) })
			peer := &p.right.peers[0]
			peer.Credential = announcing{peer.Certificates, tt.data}
			p.right.handle(SetPeers{Peers: p.right.peers})
			got := 0
			p.sees(func(m *testMessage) {
				if auth, ok := wire.Find[*wire.Auth](m.payloads); ok && m.hdr.Response == (from == 1) {
					got = int(auth.Data[0])
				}
			})
			if p.wantUp(p.sides()[from]); got != tt.want {
				t.Errorf("%s, role %d: the AlgorithmIdentifier has %d octets, want %d", name, from, got, tt.want)
			}
		}
	}
}

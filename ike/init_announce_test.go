package ike

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/ike/certificate"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// A responder announces what any peer that may be calling needs, the authorities of those at the
// caller's address first.
func TestAnnouncementFor(t *testing.T) {
	var roots []*certtest.Pair
	for i := range 4 {
		roots = append(roots, certtest.CA(t, fmt.Sprint("root", i), "ed25519", nil))
	}
	own := certtest.Key(t, "ed25519")
	entry := func(p *testPair, name string, remote bool, c *Certificates) Peer {
		peer := defaultPeer(p.right, p.left)
		peer.Name, peer.Certificates = name, c
		peer.RemoteID.Data = name + ".example.com"
		if !remote {
			peer.Remote = nil
		}
		return peer
	}
	for name, tt := range map[string]struct {
		peers func(p *testPair) []Peer
		cas   []int // of CERTREQ, in order; nil: there is none
		none  bool  // nothing is announced
	}{
		"pre-shared keys alone": {peers: func(p *testPair) []Peer { return []Peer{entry(p, "a", true, nil), entry(p, "b", false, nil)} }, none: true},
		"at the address": {peers: func(p *testPair) []Peer {
			return []Peer{entry(p, "a", true, &Certificates{Trust: trusts(roots[1])})}
		}, cas: []int{1}},
		"we prove ourselves alone": {peers: func(p *testPair) []Peer {
			return []Peer{entry(p, "a", true, &Certificates{Own: []OwnKey{{Signer: own}}})}
		}},
		"at the address and anywhere": {peers: func(p *testPair) []Peer {
			return []Peer{entry(p, "a", false, &Certificates{Trust: trusts(roots[0])}), entry(p, "b", true, &Certificates{Trust: trusts(roots[2], roots[0])}), entry(p, "c", false, &Certificates{Trust: trusts(roots[0], roots[3])})}
		}, cas: []int{2, 0, 3}},
		"a pre-shared key at the address": {peers: func(p *testPair) []Peer {
			return []Peer{entry(p, "a", true, nil), entry(p, "b", false, &Certificates{Trust: trusts(roots[1])})}
		}, cas: []int{1}},
		"elsewhere": {peers: func(p *testPair) []Peer {
			away := entry(p, "a", true, &Certificates{Trust: trusts(roots[3])})
			away.Remote = p.right.addrs[1:]
			return []Peer{away}
		}, cas: []int{3}},
	} {
		p := newPair(t, 1, func(p *testPair) { p.right.peers = tt.peers(p) })
		p.script(true)
		p.left.connect("")
		p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
		m := p.wantSend("right answers", p.right, wire.IKESAInit, true, "...")
		_, announced := wire.FindNotify(m.payloads, wire.SignatureHashAlgorithms)
		if announced == tt.none {
			t.Errorf("%s: announced %v", name, announced)
		}
		var want []byte
		for _, i := range tt.cas {
			want = append(want, trusts(roots[i]).Request().Data...)
		}
		req, _ := wire.Find[*wire.CertReq](m.payloads)
		if req == nil && len(want) > 0 || req != nil && !bytes.Equal(sorted(req.Data), sorted(want)) {
			t.Errorf("%s: CERTREQ %v, want of %v", name, req, tt.cas)
		}
		if len(tt.cas) > 0 && !bytes.HasPrefix(req.Data, want[:20]) {
			t.Errorf("%s: the authorities at the address are not the first", name)
		}
	}
}

// sorted returns the hashes of a CERTREQ in order.
func sorted(data []byte) []byte {
	list := slices.SortedFunc(slices.Chunk(data, 20), bytes.Compare)
	return slices.Concat(list...)
}

// However many peers have authorities of their own, the response is bounded, and it has nothing of
// peers that are gone.
func TestAnnouncementsAreBounded(t *testing.T) {
	p := newPair(t, 1, nil)
	table := newPeerTable()
	var list []*profile
	for i := range maxAnnounced + 10 {
		cfg := defaultPeer(p.right, p.left)
		cfg.Name, cfg.Remote = fmt.Sprint(i), nil
		cfg.Certificates = &Certificates{Trust: certificate.NewTrust([]*x509.Certificate{{RawSubjectPublicKeyInfo: []byte{byte(i)}}})}
		list = append(list, p.right.e.newProfile(cfg))
		table.add(list[i])
	}
	if n := len(table.announcementFor(nil).brief); n > 400 {
		t.Errorf("%d octets are announced", n)
	}
	for _, q := range list[1:] {
		table.remove(q)
	}
	if got := table.announcementFor(nil); got != list[0].announced {
		t.Errorf("%+v, want %+v", got, list[0].announced)
	}
	if table.remove(list[0]); table.announcementFor(nil) != (announcement{}) {
		t.Error("something is announced without peers")
	}
}

func TestEncodeAnnouncement(t *testing.T) {
	ps := []wire.Payload{certificate.Announcement(), certificate.RequestRawKey()}
	if back := decodeAnnouncement(encodeAnnouncement(ps)); len(back) != 2 || back[0].Type() != wire.PayloadNotify || back[1].Type() != wire.PayloadCertReq {
		t.Errorf("%v", back)
	}
	if encodeAnnouncement(nil) != "" || decodeAnnouncement("") != nil {
		t.Error("nothing is something")
	}
}

// authorities returns a trust in n authorities.
func authorities(n int) *certificate.Trust {
	var list []*x509.Certificate
	for i := range n {
		list = append(list, &x509.Certificate{RawSubjectPublicKeyInfo: []byte{byte(i)}})
	}
	return certificate.NewTrust(list)
}

// TestAmplification has strangers send short requests to a responder with as many authorities as a
// CERTREQ names: a response is at most three times as long as its request, and one that would be
// longer is sent only to an address that a cookie proves. A request as long as ours does not wait
// for that.
func TestAmplification(t *testing.T) {
	for _, s := range []struct {
		cas, padding int
		cookie       bool // is asked for
	}{{0, 0, false}, {1, 0, false}, {16, 0, true}, {100, 0, true}, {16, 100, false}, {16, 300, false}} {
		a := newAttack(newPair(t, 1, func(p *testPair) {
			peer := defaultPeer(p.right, p.left)
			if s.cas > 0 {
				peer.Remote, peer.Certificates = nil, &Certificates{Trust: authorities(s.cas)}
			}
			p.right.peers = []Peer{peer}
		}))
		r := a.newRogue(a.right)
		r.nonce = r.nonce[:16]
		ps := append(r.payloads(), &wire.Notify{Kind: wire.FragmentationSupported})
		if s.padding > 0 {
			ps = append(ps, &wire.VendorID{Data: make([]byte, s.padding)})
		}
		asked := a.answered(r, ps, 1)
		if cookie, ok := wire.FindNotify(asked, wire.Cookie); ok != s.cookie {
			t.Errorf("%+v: a cookie is asked for: %v", s, ok)
		} else if ok {
			asked = a.answered(r, append([]wire.Payload{cookie}, ps...), 10)
		}
		req, _ := wire.Find[*wire.CertReq](asked)
		if got := req != nil && len(req.Data) == 20*min(s.cas, 16); got != (s.cas > 0) {
			t.Errorf("%+v: the response has %v", s, req)
		}
	}
}

// answered returns the payloads of the response to a request of a stranger's, which is at most the
// greater of most and three times as long as the request.
func (a *attack) answered(r *rogue, ps []wire.Payload, most int) []wire.Payload {
	a.t.Helper()
	data, before := r.message(ps), len(a.replies)
	a.inject(a.right, attacker, data)
	a.drive(time.Second)
	if len(a.replies) != before+1 {
		a.fatalf("%d responses", len(a.replies)-before)
	}
	response := a.replies[before]
	a.t.Logf("a request of %d octets is answered by %d", len(data), len(response.data))
	if len(response.data) > max(most, 3)*len(data) {
		a.t.Errorf("a request of %d octets is answered by %d", len(data), len(response.data))
	}
	ke, _ := wire.Find[*wire.KE](response.msg.payloads)
	if added := len(a.right.e.peers.announcementFor(nil).all); ke != nil && len(response.data) > octetsOfResponse+len(ke.Data)+added {
		a.t.Errorf("a response of %d octets, of which %d are of credentials, is longer than expected", len(response.data), added)
	}
	return response.msg.payloads
}

// TestAnnouncementIsReady: what a caller gets that no entry has is decoded for it, and what the
// entries of its address or of any address have is at hand in both forms.
func TestAnnouncementIsReady(t *testing.T) {
	p := newPair(t, 1, nil)
	table := newPeerTable()
	entry := func(name string, here bool, ca byte) *profile {
		cfg := defaultPeer(p.right, p.left)
		cfg.Name = name
		if !here {
			cfg.Remote = nil
		}
		cfg.Certificates = &Certificates{Trust: certificate.NewTrust([]*x509.Certificate{{RawSubjectPublicKeyInfo: []byte{ca}}})}
		q := p.right.e.newProfile(cfg)
		table.add(q)
		return q
	}
	here, anywhere := entry("here", true, 1), entry("anywhere", false, 1)
	allocs := func(known ...*profile) float64 {
		return testing.AllocsPerRun(100, func() { table.announcementFor(known) })
	}
	if got := table.announcementFor([]*profile{here}); got != here.announced || got.brief == got.all || !got.choice {
		t.Errorf("for the entry's address: %+v, want %+v", got, here.announced)
	}
	if n := allocs(here); n > 3 {
		t.Errorf("%v allocations for what is at hand", n)
	}
	table.remove(anywhere)
	other := entry("other", false, 2)
	got := table.announcementFor([]*profile{here})
	if want := announcementOf(mergeAnnouncements(here.announced.all, other.announced.all)); got != want || got == here.announced || got == other.announced {
		t.Errorf("for two authorities: %+v, want %+v", got, want)
	}
}

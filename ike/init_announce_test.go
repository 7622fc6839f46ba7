package ike

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"

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
	if n := len(encodeAnnouncement(table.announcementFor(nil))); n > 400 {
		t.Errorf("%d octets are announced", n)
	}
	for _, q := range list[1:] {
		table.remove(q)
	}
	if got := encodeAnnouncement(table.announcementFor(nil)); got != list[0].announced {
		t.Errorf("%x, want %x", got, list[0].announced)
	}
	if table.remove(list[0]); table.announcementFor(nil) != nil {
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

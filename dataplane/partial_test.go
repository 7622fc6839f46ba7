package dataplane

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"culvert/selector"
)

// feed gives fragments to p, and returns the whole packets and how many fragments were given up.
func (p *partials) feed(t *testing.T, now int64, list ...[]byte) (whole [][]byte, lost int) {
	t.Helper()
	for _, f := range list {
		var hdr selector.Packet
		if err := selector.ParsePacket(f, &hdr); err != nil {
			t.Fatal(err)
		}
		w, n := p.add(f, &hdr, now)
		if lost += n; w != nil {
			whole = append(whole, w)
		}
	}
	return whole, lost
}

// TestPartials puts datagrams together whose fragments come in any order, mixed with those of
// others.
func TestPartials(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		p := &partials{}
		var all [][]byte
		for id := range uint16(10) {
			all = append(all, datagram(client4, server4, 1500+random.IntN(9000), id+1)...)
			all = append(all, datagram(client6, server6, 1500+random.IntN(9000), id+1)...)
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		whole, lost := p.feed(t, 0, all...)
		if len(whole) != 20 || lost != 0 || len(p.list) != 0 || p.octets != 0 {
			t.Fatalf("%d datagrams came, and %d fragments were lost; %d octets stay", len(whole), lost, p.octets)
		}
		for _, w := range whole {
			if hdr := checkSums(t, w); hdr.Fragment != selector.NotFragment || hdr.TotalLen != len(w) {
				t.Fatalf("%+v", hdr)
			}
		}
	}
}

// TestPartialsRefuse: overlaps, gaps, two ends, a fragment that is not a multiple of 8.
func TestPartialsRefuse(t *testing.T) {
	list := datagram(client4, server4, 6000, 7)
	again := func(i int) []byte { return bytes.Clone(list[i]) }
	cut := again(0)
	cut[3]-- // total length: no multiple of 8 any more
	end := again(1)
	end[6] &^= 0x20 // the last one, it says
	for name, c := range map[string]struct {
		list [][]byte
		lost int
	}{
		"the same twice":         {[][]byte{list[0], again(0)}, 2},
		"not a multiple of 8":    {[][]byte{cut}, 1},
		"an end before the end":  {[][]byte{list[3], end}, 2},
		"an end twice":           {[][]byte{end, list[4]}, 2},
		"behind the end":         {[][]byte{end, list[2]}, 2},
		"all but the first":      {list[1:], 0},
		"all but one":            {append([][]byte{list[0], list[1]}, list[3:]...), 0},
		"nothing is lost of all": {list, 0},
	} {
		p := &partials{}
		whole, lost := p.feed(t, 0, c.list...)
		if lost != c.lost || (len(whole) == 1) != (len(c.list) == len(list)) {
			t.Errorf("%s: %d lost, want %d; %d whole", name, lost, c.lost, len(whole))
		}
		if n := p.tick(partialFor - 1); n != 0 {
			t.Errorf("%s: %d end before the time", name, n)
		}
		if n := p.tick(partialFor); (n > 0) != (len(whole) == 0 && c.lost == 0) || p.octets != 0 {
			t.Errorf("%s: %d end in time, %d octets stay", name, n, p.octets)
		}
	}
}

// TestPartialsAreBounded: no number of beginnings takes more than is allowed, and no packet has
// very many fragments.
func TestPartialsAreBounded(t *testing.T) {
	p, lost := &partials{}, 0
	for id := range uint16(1000) {
		list := datagram(client4, server4, 40000, id)
		_, n := p.feed(t, 0, list[1:]...)
		if lost += n; p.octets > partialBytes || len(p.list) > maxPartials {
			t.Fatalf("%d octets of %d packets", p.octets, len(p.list))
		}
	}
	if lost == 0 {
		t.Error("all of it was kept")
	}
	p = &partials{}
	pkt := udpPacket(client4, server4, false, random(4000))
	many := cut4(pkt, 28) // 8 octets each
	whole, lost := p.feed(t, 0, many...)
	if len(whole) != 0 || lost < partialFragments {
		t.Errorf("%d fragments: %d lost, %d whole", len(many), lost, len(whole))
	}
	if p.tick(-3 * partialFor); len(p.list) != 0 || p.octets != 0 { // the clock was set back
		t.Errorf("%d octets stay", p.octets)
	}
}

// TestPartialsWithExtensionHeaders: such packets are not carried, and so not kept.
func TestPartialsWithExtensionHeaders(t *testing.T) {
	f := datagram(client6, server6, 3000, 1)[0]
	with := append(bytes.Clone(f[:40]), append([]byte{44, 0, 1, 4, 0, 0, 0, 0}, f[40:]...)...) // destination options
	with[6] = 60
	with[5] += 8
	p := &partials{}
	if whole, lost := p.feed(t, 0, with); whole != nil || lost != 1 || len(p.list) != 0 {
		t.Errorf("%d whole, %d lost, %d kept", len(whole), lost, len(p.list))
	}
}

package dataplane

import (
	"errors"
	"net/netip"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/tun"
	"culvert/tun/gso"
)

// recorder is a port that notes how many sends each call of Send was, and whether their data lay
// end to end.
type recorder struct {
	still
	calls  []int
	octets []int
	apart  int // how many did not lie right behind the one before in its call
	fail   func(out *netio.Outgoing) error
}

func (r *recorder) Send(outs []netio.Outgoing) {
	r.calls = append(r.calls, len(outs))
	total := 0
	for i := range outs {
		o := &outs[i]
		total += len(o.Data)
		o.Lost, o.Err = 0, nil
		if i > 0 {
			before := outs[i-1].Data
			if n := len(before); cap(before) <= n || &before[:n+1][n] != &o.Data[0] {
				r.apart++
			}
		}
		if r.fail != nil {
			if o.Err = r.fail(o); o.Err != nil {
				o.Lost = o.Datagrams()
			}
		}
	}
	r.octets = append(r.octets, total)
}

// script is a queue that hands out a list.
type script struct {
	still
	list []gso.Packet
}

func (s *script) Read(buf []byte, headroom int, p *gso.Packet) error {
	if len(s.list) == 0 {
		return tun.ErrWouldBlock
	}
	*p = s.list[0]
	s.list = s.list[1:]
	p.Data = buf[headroom : headroom+copy(buf[headroom:], p.Data)]
	return nil
}

// sendsOf is what one turn of a worker sends when the TUN has these packets.
func sendsOf(t *testing.T, r *recorder, workers int, list ...gso.Packet) *gateway {
	t.Helper()
	q, other := &script{list: list}, ipsec.PolicyID(2)
	g := newGateway(t, workers, func(c *Config) { c.Queues[0], c.Ports[0] = q, r })
	if err := g.SetPolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}, {ID: other, Local: lanA(), Remote: nets("198.51.100.0/24")}}); err != nil {
		t.Fatal(err)
	}
	one, two := childSA(t, g, g, 1), childSA(t, g, g, 2)
	two.Policy, two.RemoteTS = other, nets("198.51.100.0/24")
	for _, sa := range []ipsec.ChildSA{one, two} {
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		g.ActivateOutbound(sa.ID)
	}
	g.workers[0].tx.ready = true
	if _, err := g.workers[0].cycle(); err != nil {
		t.Fatal(err)
	}
	if len(q.list) != 0 {
		t.Fatalf("%d packets were left to the next turn", len(q.list))
	}
	return g
}

func repeated(n int, p gso.Packet) []gso.Packet {
	list := make([]gso.Packet, n)
	for i := range list {
		list[i] = p
	}
	return list
}

// TestSmallPacketsLeaveTogether: what one turn reads is sealed end to end and sent by few calls,
// within bounds, and a super-packet waits for nobody.
func TestSmallPacketsLeaveTogether(t *testing.T) {
	small := gso.Packet{Data: udpPacket(src4, dst4, true, make([]byte, 64))}
	large := gso.Packet{Data: udpPacket(src6, dst6, true, make([]byte, 1200))}
	super := superPacket(src4, dst4, 1, make([]byte, 60000), 1388)
	short := superPacket(src4, dst4, 1, make([]byte, 3000), 1000)
	// 1284 octets each. With two workers, a batch of 25 takes 32 KB while it is read, and 31 KB
	// sealed.
	byOctets := map[int][]int{1: {26, 4}, 2: {30}}
	for _, workers := range []int{1, 2} {
		for _, tt := range []struct {
			name  string
			list  []gso.Packet
			calls []int
		}{
			{"one", repeated(1, small), []int{1}},
			{"a whole turn", repeated(cyclePackets, small), []int{cyclePackets}},
			{"by octets", repeated(30, large), byOctets[workers]},
			{"a super-packet at once, with those before it", append(repeated(3, small), super, small), []int{4, 1}},
			{"a super-packet that is two runs", repeated(1, superPacket(src4, dst4, 1, make([]byte, 47*1388), 1388)), []int{2}},
			{"a small super-packet is like others", []gso.Packet{small, short, small}, []int{3}},
		} {
			r := &recorder{}
			sendsOf(t, r, workers, tt.list...)
			if len(r.calls) != len(tt.calls) {
				t.Errorf("%d workers, %s: %v calls, want %v", workers, tt.name, r.calls, tt.calls)
				continue
			}
			for i, n := range tt.calls {
				if r.calls[i] != n || r.octets[i] > flushBytes+runSpace {
					t.Errorf("%d workers, %s: %v calls with %v octets, want %v", workers, tt.name, r.calls, r.octets, tt.calls)
				}
			}
			if r.apart != 0 {
				t.Errorf("%d workers, %s: %d sends lay apart", workers, tt.name, r.apart)
			}
		}
	}
}

// TestLostSendsAreTheirSAs: each SA counts what was lost of its own, and only that.
func TestLostSendsAreTheirSAs(t *testing.T) {
	mine := gso.Packet{Data: udpPacket(src4, dst4, true, make([]byte, 100))}
	other := gso.Packet{Data: udpPacket(src4, netip.MustParseAddrPort("198.51.100.1:53"), true, make([]byte, 200))}
	n := 0
	full := errors.New("full")
	r := &recorder{fail: func(o *netio.Outgoing) error {
		n++
		switch {
		case n == 2:
			return netio.ErrTooBig
		case n >= 4:
			return full
		}
		return nil
	}}
	g := sendsOf(t, r, 1, mine, other, mine, other, other, mine)
	one, _ := g.ChildStats(1)
	two, _ := g.ChildStats(2)
	if one.Drops["too_big"] != 0 || one.Drops["send_errors"] != 1 || two.Drops["too_big"] != 1 || two.Drops["send_errors"] != 2 {
		t.Errorf("SA 1: %v, SA 2: %v", one.Drops, two.Drops)
	}
	if c := g.Counters(); c["out_too_big"] != 1 || c["out_send_errors"] != 3 {
		t.Errorf("counters %v", c)
	}
	if !g.pairs[2].stale.Load() || g.pairs[1].stale.Load() {
		t.Error("the path of the SA whose packet was too big is to be asked anew, and no other")
	}
}

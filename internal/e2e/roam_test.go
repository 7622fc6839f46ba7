//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"culvert/internal/netlab"
)

// readdress replaces a host's outer address, as a new lease does, and keeps the family's default
// route.
func readdress(t *testing.T, h *netlab.Host, dev, old, fresh, via string) {
	t.Helper()
	link, err := h.Netlink().LinkByName(dev)
	ok(t, err)
	gained := address(t, fresh)
	gained.Flags = noDAD // no other host has the address
	ok(t, h.Netlink().AddrDel(link, address(t, old)), h.Netlink().AddrAdd(link, gained), h.Route("default", via, 0))
}

// noDAD is IFA_F_NODAD: a new IPv6 address is used at once.
const noDAD = 0x02

// introduce gives a host the link address of another one's new address. Neighbour discovery may
// lose its first question to a new address and repeat it only after a second, which is not what the
// tests measure.
func introduce(t *testing.T, to, of *netlab.Host, dev, fresh string) {
	t.Helper()
	here, err := to.Netlink().LinkByName(dev)
	ok(t, err)
	there, err := of.Netlink().LinkByName(dev)
	ok(t, err)
	a := netip.MustParsePrefix(fresh).Addr()
	ok(t, to.Netlink().NeighSet(&netlink.Neigh{LinkIndex: here.Attrs().Index, IP: a.AsSlice(), HardwareAddr: there.Attrs().HardwareAddr, State: netlink.NUD_PERMANENT}))
}

// steady is a stream each way that measures its longest silence.
type steady struct {
	t       *testing.T
	streams [2]*netlab.Stream
	stop    chan struct{}
	longest chan time.Duration
}

// silence starts streams of 500 datagrams per second each way. end stops them and returns the
// longest time without a datagram in one of them.
func (n *network) silence(t *testing.T) (end func() time.Duration) {
	t.Helper()
	s := &steady{t: t, stop: make(chan struct{}), longest: make(chan time.Duration, 1)}
	var err error
	s.streams[0], err = netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 500, 200)
	ok(t, err)
	s.streams[1], err = netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 500, 200)
	ok(t, err)
	wantFlow(t, "at first", s.streams[0], s.streams[1])
	go s.watch()
	return func() time.Duration {
		close(s.stop)
		longest := <-s.longest
		for _, stream := range s.streams {
			stream.Stop(0)
		}
		return longest
	}
}

func (s *steady) watch() {
	var longest time.Duration
	count, at := [2]uint64{}, [2]time.Time{time.Now(), time.Now()}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
		case <-s.stop:
			running = false
		}
		for i, stream := range s.streams {
			now := time.Now()
			longest = max(longest, now.Sub(at[i]))
			if n := stream.Received.Load(); n > count[i] {
				count[i], at[i] = n, now
			}
		}
	}
	s.longest <- longest
}

// mostSilence bounds the silence of a move: the kernel reports the address after at most 50 ms,
// then two round trips, and all of this on a machine with few processors.
const mostSilence = 400 * time.Millisecond

// TestRoaming gives either side another outer address under traffic, as a new lease does: the IKE
// SA stays, and traffic stops only for a moment.
func TestRoaming(t *testing.T) {
	type family struct{ name, remote, old, fresh, via, other string }
	v4 := family{"IPv4", "192.0.2.2", "192.0.2.1/24", "192.0.2.101/24", "192.0.2.2", "192.0.2.101"}
	v6 := family{"IPv6", "2001:db8::2", "2001:db8::1/64", "2001:db8::101/64", "2001:db8::2", "2001:db8::101"}
	for _, f := range []family{v4, v6} {
		for _, keys := range []string{protocol50, "", "dpd = \"0s\"\n", "encap = \"always\"\n", "encap = \"always\"\ndpd = \"0s\"\n"} {
			t.Run(fmt.Sprintf("initiator, %s, %q", f.name, keys), func(t *testing.T) {
				n := build(t, topology{})
				left, right := pair(t, n, f.remote, keys)
				introduce(t, n.right, n.left, "wan", f.fresh)
				n.wantMove(t, left, right, func() { readdress(t, n.left, "wan", f.old, f.fresh, f.via) })
				if host, _, _ := net.SplitHostPort(right.peer("left").Remote); host != f.other {
					t.Errorf("right sends to %q", host)
				}
			})
		}
		t.Run("responder, "+f.name, func(t *testing.T) {
			n := build(t, topology{})
			left, right := pair(t, n, f.remote, "dpd = \"0s\"\n")
			old, fresh, via := "192.0.2.2/24", "192.0.2.102/24", "192.0.2.1"
			if f == v6 {
				old, fresh, via = "2001:db8::2/64", "2001:db8::102/64", "2001:db8::1"
			}
			introduce(t, n.left, n.right, "wan", fresh)
			n.wantMove(t, left, right, func() { readdress(t, n.right, "wan", old, fresh, via) })
			want := netip.MustParsePrefix(fresh).Addr().String()
			if host, _, _ := net.SplitHostPort(left.peer("right").Remote); host != want {
				t.Errorf("left sends to %q", host)
			}
		})
	}
}

// wantMove checks that the move of an address costs no IKE SA and little traffic.
func (n *network) wantMove(t *testing.T, left, right *gateway, move func()) {
	t.Helper()
	n.wantPing(t, 10*time.Second)
	spi := left.peer("right").SPIi
	end := n.silence(t)
	move()
	time.Sleep(2 * time.Second) // the traffic meanwhile is measured
	longest := end()
	t.Logf("nothing came for %v", longest)
	if longest > mostSilence {
		t.Errorf("nothing came for %v, want %v at most", longest, mostSilence)
	}
	if p := left.peer("right"); p.SPIi != spi || p.State != "established" {
		t.Errorf("the IKE SA is another one: %+v", p)
	}
	wantNeverDown(t, left, right)
}

// TestRoamingBehindNAT gives the side behind a NAT another inner address, and thus another mapping.
func TestRoamingBehindNAT(t *testing.T) {
	n := build(t, topology{nat: true})
	left, right := pair(t, n, "192.0.2.2", "dpd = \"0s\"\n")
	n.wantMove(t, left, right, func() { readdress(t, n.left, "wan", "10.98.0.2/24", "10.98.0.77/24", "10.98.0.1") })
}

// TestRoamingSlowly removes the address, and adds another and its route only later: traffic then
// passes at once.
func TestRoamingSlowly(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "dpd = \"0s\"\n")
	n.wantPing(t, 10*time.Second)
	spi := left.peer("right").SPIi
	link, err := n.left.Netlink().LinkByName("wan")
	ok(t, err)
	ok(t, n.left.Netlink().AddrDel(link, address(t, "192.0.2.1/24")))
	time.Sleep(1500 * time.Millisecond) // the lease is late
	ok(t, n.left.Netlink().AddrAdd(link, address(t, "192.0.2.101/24")), n.left.Route("default", "192.0.2.2", 0))
	n.wantPing(t, 2*time.Second)
	if p := left.peer("right"); p.SPIi != spi || p.State != "established" {
		t.Errorf("the IKE SA is another one: %+v", p)
	}
	wantNeverDown(t, left, right)
}

// TestRoamingWithStrongSwan moves culvert away from a strongSwan without MOBIKE. strongSwan follows
// a peer behind a NAT (RFC 7296, Section 2.23), and thus one with encap = "always", but no other
// one: there culvert authenticates again.
func TestRoamingWithStrongSwan(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		stays      bool
		most       time.Duration
	}{
		{"followed", "encap = \"always\"\ndpd = \"0s\"\n", true, mostSilence},
		{"not followed", "dpd = \"0s\"\n", false, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			n.swan(t, nil)
			ok(t, n.right.Block("oifname wan ip saddr 10.2.0.0/16")) // strongSwan sends in the clear between two SAs
			left := leftOf(t, n, tt.keys, boot)
			left.waitUp("right")
			n.wantPing(t, 10*time.Second)
			spi := left.peer("right").SPIi
			end := n.silence(t)
			readdress(t, n.left, "wan", "192.0.2.1/24", "192.0.2.101/24", "192.0.2.2")
			time.Sleep(3 * time.Second) // the traffic meanwhile is measured
			longest := end()
			t.Logf("nothing came for %v", longest)
			if longest > tt.most {
				t.Errorf("nothing came for %v, want %v at most", longest, tt.most)
			}
			if p := left.peer("right"); (p.SPIi == spi) != tt.stays || p.State != "established" {
				t.Errorf("before the move %s, after it %+v", spi, p)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := n.right.PingUntil(ctx, rightLAN4, leftLAN4, 200*time.Millisecond)
			ok(t, err)
		})
	}
}

package gso_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"culvert/internal/netlab"
	"culvert/internal/packettest"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// patience is for what must come. It is long, as the machine may be busy.
	patience = 10 * time.Second
	headroom = 16 // for the device's own header
)

// kernel is a host with a TUN device that the test writes to, as a worker does.
type kernel struct {
	*netlab.Host
	gso.Coalescer[*gso.Source]
	dev    *tun.Device
	supers [4]atomic.Int64 // written, of each kind
}

func newKernel(t *testing.T, lab *netlab.Lab, addrs ...string) *kernel {
	t.Helper()
	k := &kernel{Host: newHost(t, lab, "dp-k")}
	if err := k.Do(func() (err error) {
		k.dev, err = tun.Open(tun.Config{Name: "dp0", MTU: 1500, Log: slog.New(slog.DiscardHandler)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.dev.Close() })
	link, err := k.Netlink().LinkByName("dp0")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range addrs {
		addr, err := netlink.ParseAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := k.Netlink().AddrAdd(link, addr); err != nil {
			t.Fatal(err)
		}
		k.waitLocal(t, addr.IP)
	}
	q := k.dev.Queues()[0]
	k.Can = k.dev.Offloads()
	k.Out = func(_ *gso.Source, p *gso.Packet, packets [][]byte) {
		k.supers[p.GSO].Add(1)
		if err := q.Write(p, packets); err != nil {
			t.Errorf("writing %d packets, %+v: %v", len(packets), p, err)
		}
	}
	return k
}

// waitLocal waits until packets to the address are for the host itself, which over IPv6 the kernel
// sees to in its own time.
func (k *kernel) waitLocal(t *testing.T, ip net.IP) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		if routes, err := k.Netlink().RouteGet(ip); err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
	}
	t.Fatalf("%s does not become an address of the host", ip)
}

func newHost(t *testing.T, lab *netlab.Lab, name string) *netlab.Host {
	t.Helper()
	h, err := lab.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// deliver writes packets gathered, or one by one.
func (k *kernel) deliver(t *testing.T, in []gso.ArrivedPacket, gathered bool) {
	t.Helper()
	var hdr selector.Packet
	for _, p := range in {
		pkt := bytes.Clone(p.Pkt)
		if err := selector.ParsePacket(pkt, &hdr); err != nil {
			t.Fatal(err)
		}
		if gathered {
			k.Add(p.By, pkt, &hdr)
		} else {
			k.Single(p.By, pkt)
		}
	}
	k.Flush()
}

// router is a kernel that forwards what it gets to a wire without offloads:
//
//	the test == dp0  router  out, 10.1.0.254 2001:db8:1::fe  veth  in, 10.1.0.1 2001:db8:1::1  far
type router struct {
	*kernel
	mu    sync.Mutex
	seen  [][]byte      // what came out, but for the mark
	ended chan struct{} // the mark came
}

// markPort is the port of the packet that ends a batch.
const markPort = 9

func newRouter(t *testing.T) *router {
	t.Helper()
	lab := netlab.Need(t)
	r := &router{kernel: newKernel(t, lab, "10.2.0.254/24", "2001:db8:2::fe/64"), ended: make(chan struct{})}
	far := newHost(t, lab, "dp-far")
	if err := lab.Link(netlab.Iface{Host: r.Host, Name: "out", Addrs: []string{"10.1.0.254/24", "2001:db8:1::fe/64"}},
		netlab.Iface{Host: far, Name: "in", Addrs: []string{"10.1.0.1/24", "2001:db8:1::1/64"}}, 4000); err != nil {
		t.Fatal(err)
	}
	if err := r.NoOffloads("out"); err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} { // the links are up and the neighbours known
		src, dst := netip.MustParseAddr("10.1.0.254"), netip.MustParseAddr("10.1.0.1")
		if v6 {
			src, dst = netip.MustParseAddr("2001:db8:1::fe"), netip.MustParseAddr("2001:db8:1::1")
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := r.PingUntil(ctx, src, dst, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := far.Sniff("in", r.frame); err != nil {
		t.Fatal(err)
	}
	return r
}

// frame looks at what comes over the wire: of the test's packets, as what is not from their hosts
// is the kernel's own.
func (r *router) frame(frame []byte) {
	p, ok := netlab.ParseFrame(frame)
	src := p.Src
	if !ok || p.Protocol == unix.IPPROTO_ICMPV6 || !src.Is4() && !netip.MustParsePrefix("2001:db8:2::/64").Contains(src) || src.Is4() && src.As4()[1] != 2 {
		return
	}
	pkt := bytes.Clone(frame[14:])
	var hdr selector.Packet
	if selector.ParsePacket(pkt, &hdr) != nil {
		return
	}
	if hdr.DstPort == markPort {
		r.ended <- struct{}{}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, pkt[:hdr.TotalLen])
}

// through is what becomes of a batch on its way to far.
func (r *router) through(t *testing.T, in []gso.ArrivedPacket, gathered bool) [][]byte {
	t.Helper()
	mark := packettest.UDPPacket(netip.MustParseAddrPort("10.2.0.1:9"), netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), markPort), true, []byte("mark"))
	r.deliver(t, in, gathered)
	r.deliver(t, []gso.ArrivedPacket{{nil, mark}}, false)
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatal("the last packet did not come out")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// oneCPU keeps the calling thread on one core: where packets of a flow come from several, the
// kernel keeps no order.
func oneCPU(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu, found := 0, false; cpu < len(set)*64; cpu++ {
		if set.IsSet(cpu) && found {
			set.Clear(cpu)
		}
		found = found || set.IsSet(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
}

// The kernel forwards the same packets whether it got them gathered or one by one, whatever they
// are.
func TestKernelForwardsWhatWasGathered(t *testing.T) {
	oneCPU(t)
	k := newRouter(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		in := gso.Mix(gso.RandomScript(rng, rng.IntN(120)))
		want, got := k.through(t, in, false), k.through(t, in, true)
		if len(want) == 0 && len(in) > 20 {
			t.Fatalf("of %d packets none was forwarded", len(in))
		}
		gso.CheckOrder(t, got, want)
	}
	// And those that are gathered by the dozen are not just the same but right: but for a hop less.
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			checkForwarded(t, k, v6, udp)
		}
	}
	k.wantSupers(t, gso.TCPv4, gso.TCPv6, gso.UDP)
}

func checkForwarded(t *testing.T, k *router, v6, udp bool) {
	t.Helper()
	var in []gso.ArrivedPacket
	var want [][]byte
	for _, p := range gso.Stream(v6, udp, 80, 44, 1400) {
		in = append(in, gso.ArrivedPacket{nil, p})
		p = bytes.Clone(p)
		p[map[bool]int{false: 8, true: 7}[v6]]--
		gso.FixSums(p)
		want = append(want, p)
	}
	gso.CheckFlows(t, k.through(t, in, true), want)
}

// wantSupers fails the test if the device takes super-packets of a kind and got none.
func (k *kernel) wantSupers(t *testing.T, kinds ...gso.Type) {
	t.Helper()
	for _, kind := range kinds {
		if can := k.Can.TSO && kind != gso.UDP || k.Can.USO && kind == gso.UDP; can && k.supers[kind].Load() == 0 {
			t.Errorf("no super-packet of kind %d was written", kind)
		}
	}
}

// A socket of the host gets the datagrams that were gathered, each by itself; and with UDP_GRO
// whole.
func TestKernelReceivesGatheredUDP(t *testing.T) {
	k := newKernel(t, netlab.Need(t), "10.1.0.1/24", "2001:db8:1::1/64")
	route(t, k, "10.2.0.0/16", "2001:db8:2::/64")
	for _, v6 := range []bool{false, true} {
		for _, gro := range []bool{false, true} {
			t.Run(fmt.Sprintf("v6=%v gro=%v", v6, gro), func(t *testing.T) {
				pkts := gso.Stream(v6, true, 80, 30, 1000)
				pkts = append(pkts, gso.SetLength(bytes.Clone(pkts[29][:len(pkts[29])-300])))
				rx := k.listenUDP(t, pkts[0], gro)
				var in []gso.ArrivedPacket
				var want []byte
				for i, p := range pkts {
					binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+uint16(i/30)*map[bool]uint16{false: 1}[v6])
					gso.FixSums(p)
					in = append(in, gso.ArrivedPacket{nil, p})
					want = append(want, p[gso.UpperOf(p)+8:]...)
				}
				k.deliver(t, in, true)
				var got []byte
				for n := 0; len(got) < len(want); n++ {
					buf := make([]byte, 65536)
					size, err := rx.Read(buf)
					if err != nil {
						t.Fatalf("after %d octets: %v", len(got), err)
					}
					if most := 1000; !gro && (size != most && len(got)+size != len(want)) || gro && k.Can.USO && size != len(want) {
						t.Errorf("read %d has %d octets", n, size)
					}
					got = append(got, buf[:size]...)
				}
				if !bytes.Equal(got, want) {
					t.Error("what came is not what was sent")
				}
			})
		}
	}
	k.wantSupers(t, gso.UDP)
}

// listenUDP is a socket at the destination of pkt.
func (k *kernel) listenUDP(t *testing.T, pkt []byte, gro bool) *net.UDPConn {
	t.Helper()
	hdr := packettest.Parse(t, pkt)
	var c *net.UDPConn
	if err := k.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(hdr.Dst, hdr.DstPort)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if gro {
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) }); e != nil || err != nil {
			t.Skipf("the kernel has no UDP_GRO: %v, %v", e, err)
		}
	}
	return c
}

// route leads prefixes into the device.
func route(t *testing.T, k *kernel, prefixes ...string) {
	t.Helper()
	for _, s := range prefixes {
		_, dst, err := net.ParseCIDR(s)
		if err == nil {
			err = k.Netlink().RouteAdd(&netlink.Route{Dst: dst, LinkIndex: k.dev.Index()})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TCP between two hosts whose segments all are cut and gathered again, both ways.
func TestKernelReceivesGatheredTCP(t *testing.T) {
	lab := netlab.Need(t)
	a, b := newKernel(t, lab, "10.2.0.1/24", "2001:db8:2::1/64"), newKernel(t, lab, "10.1.0.1/24", "2001:db8:1::1/64")
	route(t, a, "10.1.0.0/24", "2001:db8:1::/64")
	route(t, b, "10.2.0.0/24", "2001:db8:2::/64")
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	wg.Go(func() { carry(t, a, b, done) })
	wg.Go(func() { carry(t, b, a, done) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, pair := range [][2]string{{"10.2.0.1", "10.1.0.1"}, {"2001:db8:2::1", "2001:db8:1::1"}} {
		src, dst := netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1])
		if _, err := netlab.Transfer(ctx, a.Host, src, b.Host, dst, 4<<20); err != nil {
			t.Error(err)
		}
		if _, err := netlab.Transfer(ctx, b.Host, dst, a.Host, src, 4<<20); err != nil {
			t.Error(err)
		}
	}
	a.wantSupers(t, gso.TCPv4, gso.TCPv6)
	b.wantSupers(t, gso.TCPv4, gso.TCPv6)
}

// carry cuts what one host sends and gathers it for the other.
func carry(t *testing.T, from, to *kernel, done <-chan struct{}) {
	buf := make([]byte, headroom+gso.MaxPacket)
	q := from.dev.Queues()[0]
	for {
		select {
		case <-done:
			return
		default:
		}
		var p gso.Packet
		err := q.Read(buf, headroom, &p)
		if errors.Is(err, tun.ErrWouldBlock) {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(q.FD()), Events: unix.POLLIN}}, 20)
			continue
		}
		var cut gso.Segmenter
		if err == nil {
			err = cut.Reset(&p)
		}
		if err != nil {
			t.Error(err)
			return
		}
		var in []gso.ArrivedPacket
		for pkt := cut.Next(); pkt != nil; pkt = cut.Next() {
			in = append(in, gso.ArrivedPacket{nil, bytes.Clone(pkt)})
		}
		to.deliver(t, in, true)
	}
}

package netiotest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"culvert/dataplane/netio"
)

var addrA, addrB = netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.2:4500")

func pair(t *testing.T) (a, b *Port) {
	t.Helper()
	a, b, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func all(t *testing.T, p *Port) (got []string) {
	t.Helper()
	buf := make([]byte, 100)
	var in netio.Received
	for {
		err := p.Recv(buf, &in)
		if errors.Is(err, netio.ErrWouldBlock) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s/%d", in.Data, in.SegSize))
	}
}

func TestWire(t *testing.T) {
	a, b := pair(t)
	if err := a.Send(&netio.Outgoing{Data: []byte("aabbc"), SegSize: 2, Local: addrA, Remote: addrB, Encap: true, TOS: 3}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	var in netio.Received
	if err := b.Recv(buf, &in); err != nil || string(in.Data) != "aabbc" || in.SegSize != 2 || in.Local != addrB || in.Remote != addrA || !in.Encap || in.TOS != 3 {
		t.Fatalf("got %+v, %v", in, err)
	}
	a.SetMTU(100)
	if err := a.Send(&netio.Outgoing{Data: make([]byte, 73), Local: addrA, Remote: addrB, Encap: true}); !errors.Is(err, netio.ErrTooBig) {
		t.Errorf("101 octets over an MTU of 100: %v", err)
	}
	if err := a.Send(&netio.Outgoing{Data: make([]byte, 80), Local: addrA, Remote: addrB}); err != nil {
		t.Errorf("100 octets over an MTU of 100: %v", err)
	}
	b.Close()
	if err := b.Recv(buf, &in); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestFate(t *testing.T) {
	a, b := pair(t)
	fates := []Fate{Pass, Drop, Delay, Pass, Duplicate}
	a.SetFate(func(n int, _ *netio.Outgoing) Fate { return fates[n] })
	if err := a.Send(&netio.Outgoing{Data: []byte("0123"), SegSize: 1, Local: addrA, Remote: addrB}); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(&netio.Outgoing{Data: []byte("4"), Local: addrA, Remote: addrB}); err != nil {
		t.Fatal(err)
	}
	if got, want := all(t, b), []string{"0/0", "3/0", "2/0", "4/0", "4/0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

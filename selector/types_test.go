package selector

import (
	"net/netip"
	"testing"
)

// The flow of the reply has source and destination exchanged, and nothing else.
func TestReverse(t *testing.T) {
	a, b := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")
	f := Flow{Src: a, Dst: b, Protocol: 6, SrcPort: 1000, DstPort: 80, PortsUnknown: true}
	if got, want := f.Reverse(), (Flow{Src: b, Dst: a, Protocol: 6, SrcPort: 80, DstPort: 1000, PortsUnknown: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if f.Reverse().Reverse() != f {
		t.Error("the reply's reply is another flow")
	}
}

package clsact

import (
	"encoding/binary"
	"testing"

	"github.com/vishvananda/netlink/nl"
)

// message returns the body of a message about a qdisc or filter of device 7.
func message(handle, info uint32, attrs ...*nl.RtAttr) []byte {
	b := (&nl.TcMsg{Ifindex: 7, Handle: handle, Info: info}).Serialize()
	for _, a := range attrs {
		b = append(b, a.Serialize()...)
	}
	return b
}

func kind(name string) *nl.RtAttr { return nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(name)) }

// TestParseQdisc: those for what comes to a device, and those with filters of several devices.
func TestParseQdisc(t *testing.T) {
	for name, tt := range map[string]struct {
		b               []byte
		device          int
		ingress, shared bool
	}{
		"clsact":         {message(0xffff0000, 0, kind("clsact")), 7, true, false},
		"ingress":        {message(0xffff0000, 0, kind("ingress")), 7, true, false},
		"another":        {message(0x10000, 0, kind("fq_codel")), 7, false, false},
		"a shared block": {message(0xffff0000, 0, kind("clsact"), nl.NewRtAttr(nl.TCA_INGRESS_BLOCK, nl.Uint32Attr(1))), 7, true, true},
		"half a header":  {make([]byte, tcmsgLen-1), 0, false, false},
		"half a kind":    {message(0xffff0000, 0, kind("clsact"))[:tcmsgLen+6], 7, false, false},
	} {
		if device, ingress, shared := parseQdisc(tt.b); device != tt.device || ingress != tt.ingress || shared != tt.shared {
			t.Errorf("%s: device %d, ingress %t, shared %t", name, device, ingress, shared)
		}
	}
}

// TestParseFilter: names count in filters of BPF only.
func TestParseFilter(t *testing.T) {
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_BPF_NAME, nl.ZeroTerminated(prefix+"cv0"+withQdisc))
	options.AddRtAttr(nl.TCA_BPF_ID, nl.Uint32Attr(99))
	info := 5<<16 | uint32(nl.Swap16(3))
	s, k := parseFilter(message(1, info, kind("bpf"), options))
	if want := (stub{device: 7, name: "culvert:cv0:qdisc", program: 99, handle: 1, priority: 5, protocol: 3}); s != want || k != "bpf" || s.owner() != "cv0" {
		t.Errorf("read %+v of kind %q", s, k)
	}
	if s, k := parseFilter(message(1, info, kind("u32"), options)); s.name != "" || k != "u32" {
		t.Errorf("read %+v of kind %q", s, k)
	}
	if s, _ := parseFilter(message(0, info, kind("bpf"))); s.handle != 0 || s.name != "" {
		t.Errorf("read %+v", s)
	}
	whole := message(1, info, kind("bpf"), options)
	for n := range whole {
		if s, _ := parseFilter(whole[:n]); s.name != "" && n < len(whole)-8 {
			t.Errorf("of %d octets: %+v", n, s)
		}
	}
	binary.NativeEndian.PutUint32(whole[4:], 1<<32-1)
	if s, _ := parseFilter(whole); s.device != -1 {
		t.Errorf("device %d", s.device)
	}
}

package tun

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What is written is what is read, in each field.
func TestRuleThereAndBack(t *testing.T) {
	for text, k := range map[string]kernelRule{
		"7: from all lookup 300":                           {prio: 7, action: unix.FR_ACT_TO_TBL, table: 300, protocol: routeProtocol},
		"8: from 10.0.0.0/8 to 10.9.0.0/16 lookup 7":       {prio: 8, action: unix.FR_ACT_TO_TBL, table: 7, src: netip.MustParsePrefix("10.0.0.0/8"), dst: netip.MustParsePrefix("10.9.0.0/16")},
		"9: not from all fwmark 0x20/0x60 goto 18":         {prio: 9, action: unix.FR_ACT_GOTO, goTo: 18, invert: true, mark: 0x20, mask: 0x60, table: 300},
		"9: from all fwmark 0x0/0x60 goto 18":              {prio: 9, action: unix.FR_ACT_GOTO, goTo: 18, mask: 0x60},
		"10: from 2001:db8::/32 ipproto 50 goto 19":        {v6: true, prio: 10, action: unix.FR_ACT_GOTO, goTo: 19, ipProto: unix.IPPROTO_ESP, src: netip.MustParsePrefix("2001:db8::/32")},
		"11: from all ipproto 17 sport 500-501 lookup 254": {prio: 11, action: unix.FR_ACT_TO_TBL, table: 254, ipProto: unix.IPPROTO_UDP, sport: portRange{500, 501}},
		"12: from all iif eth0 oif tun1 action 5":          {prio: 12, action: unix.FR_ACT_NOP, iif: "eth0", oif: "tun1"},
		"13: from all ipproto 6 lookup 7":                  {prio: 13, action: unix.FR_ACT_TO_TBL, table: 7, ipProto: unix.IPPROTO_TCP, dport: portRange{22, 22}},
	} {
		for _, kind := range []uint16{unix.RTM_NEWRULE, unix.RTM_DELRULE} {
			got, ok := parseRule(k.append(nil, kind, 0)[unix.SizeofNlMsghdr:])
			if !ok || got != k {
				t.Errorf("%s: got %+v, %v; want %+v", text, got, ok, k)
			}
		}
		if k.action == unix.FR_ACT_NOP {
			text = text[:len(text)-1] + "0123456789"[unix.FR_ACT_NOP:unix.FR_ACT_NOP+1]
		}
		if got := k.String(); got != text {
			t.Errorf("it is shown as %q, want %q", got, text)
		}
	}
}

// Attributes that others set and we do not.
func TestRuleOfAnotherProgram(t *testing.T) {
	k := kernelRule{prio: 7, action: unix.FR_ACT_TO_TBL}
	b := attribute(k.append(nil, unix.RTM_NEWRULE, 0), unix.FRA_L3MDEV, []byte{1})
	b = attribute(b, unix.FRA_UID_RANGE, make([]byte, 8))
	got, ok := parseRule(b[unix.SizeofNlMsghdr:])
	if k.l3mdev, k.uids = true, true; !ok || got != k {
		t.Errorf("got %+v, want %+v", got, k)
	}
	if text := got.String(); text != "7: from all lookup [l3mdev-table]" {
		t.Errorf("it is shown as %q", text)
	}
	b[unix.SizeofNlMsghdr] = unix.AF_MPLS
	if got, ok := parseRule(b[unix.SizeofNlMsghdr:]); ok {
		t.Errorf("a rule of another family is %+v", got)
	}
}

func TestSortedRules(t *testing.T) {
	list := sortedRules([]kernelRule{{prio: 9, table: 1}, {prio: 0}, {prio: 9, table: 2}, {prio: 1 << 31}, {prio: 8}})
	for i, want := range []kernelRule{{prio: 0}, {prio: 8}, {prio: 9, table: 1}, {prio: 9, table: 2}, {prio: 1 << 31}} {
		if list[i] != want {
			t.Errorf("rule %d is %v, want %v", i, list[i], want)
		}
	}
}

// A BPF filter loads the octets as big-endian, whatever this machine is.
func TestNative(t *testing.T) {
	b := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint16(nil, 0x1234), 0x12345678)
	if got, want := native(uint16(0x1234)), uint32(binary.BigEndian.Uint16(b)); got != want {
		t.Errorf("16 bits: got %#x, want %#x", got, want)
	}
	if got, want := native(uint32(0x12345678)), binary.BigEndian.Uint32(b[2:]); got != want {
		t.Errorf("32 bits: got %#x, want %#x", got, want)
	}
}

package config

import (
	"strconv"
	"strings"

	"culvert/tun/protect"
)

// mark reads the mark of the tunnels' own packets.
func (s section) mark() protect.Mark {
	text := s.text("mark", protect.DefaultMark.String())
	value, mask, ok := strings.Cut(text, "/")
	m := protect.Mark{Value: s.bits(value, &ok), Mask: s.bits(mask, &ok)}
	switch {
	case !ok:
		s.fail("mark", "mark = %q must be a value and a mask in hexadecimal, such as %q", text, protect.DefaultMark)
	case m.Value == 0:
		s.fail("mark", "mark = %q: the value has no bit, and so do all other packets; set one of the mask's, as in %q", text, protect.DefaultMark)
	case m.Value&^m.Mask != 0:
		s.fail("mark", "mark = %q: the mask lacks the value's bits %#x; the mask must hold the value, as in %q", text, m.Value&^m.Mask, protect.DefaultMark)
	case m.Value == m.Mask:
		s.file.warn(s.line("mark"), "%smark = %q: the mask has no bit beside the value, and so ICMP errors about packets from the tunnels cannot be told and sent back through them; give the mask one more, as in %q", s.where, text, protect.DefaultMark)
		return m
	default:
		return m
	}
	return protect.DefaultMark
}

// bits reads 0x and up to eight hexadecimal digits.
func (s section) bits(text string, ok *bool) uint32 {
	digits, hex := strings.CutPrefix(text, "0x")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !hex || err != nil {
		*ok = false
	}
	return uint32(n)
}

// routeTable reads the first routing table of ours.
func (s section) routeTable() int {
	n := int(s.number("route_table", 0, 0, lastRouteTable))
	if n != 0 && n < firstRouteTable {
		s.fail("route_table", "route_table = %d belongs to the system or may have a name: choose %d or higher, with free ones above it, or 0 for those from 4303 on", n, firstRouteTable)
		return 0
	}
	return n
}

package config

import (
	"strconv"
	"strings"

	"culvert/tun/protect"
)

// mark reads the firewall mark of the tunnels' own packets.
func (s section) mark() protect.Mark {
	text := s.text("mark", protect.DefaultMark.String())
	value, mask, ok := strings.Cut(text, "/")
	m := protect.Mark{Value: s.bits(value, &ok), Mask: s.bits(mask, &ok)}
	switch {
	case !ok:
		s.fail("mark", "mark = %q is not a value and a mask in hexadecimal; use for example %q", text, protect.DefaultMark)
	case m.Value == 0:
		s.fail("mark", "mark = %q has the value 0, like every packet without a mark; set one of the mask's bits in it, for example %q", text, protect.DefaultMark)
	case m.Value&^m.Mask != 0:
		s.fail("mark", "mark = %q: the value's bits %#x are not in the mask; use a mask that includes the value, for example %q", text, m.Value&^m.Mask, protect.DefaultMark)
	case m.Value == m.Mask:
		s.file.warn(s.line("mark"), "%smark = %q: the mask has no bit besides the value's, so ICMP errors about decrypted packets cannot be marked and sent back through the tunnels; add a bit to the mask, for example %q", s.where, text, protect.DefaultMark)
		return m
	default:
		return m
	}
	return protect.DefaultMark
}

// bits parses 0x and up to eight hexadecimal digits. It clears ok if text has another form.
func (s section) bits(text string, ok *bool) uint32 {
	digits, hex := strings.CutPrefix(text, "0x")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !hex || err != nil {
		*ok = false
	}
	return uint32(n)
}

// routeTable reads the number of culvert's first routing table; 0 leaves the choice to the daemon.
func (s section) routeTable() int {
	n := int(s.number("route_table", 0, 0, lastRouteTable))
	if n != 0 && n < firstRouteTable {
		s.fail("route_table", "route_table = %d is in the range of the system's and named tables; use %d or higher with free tables above it, or 0 for the tables from 4303 on", n, firstRouteTable)
		return 0
	}
	return n
}

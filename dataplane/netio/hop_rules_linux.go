package netio

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A ruleAnswer is a routing rule as the kernel tells it, as far as it matters for packets with a
// mark whose protocol the kernel cannot be asked about.
type ruleAnswer struct {
	priority    uint32
	mark, mask  uint32
	to          uint32 // the priority of the rule to go on with; 0: the next one
	esp         bool   // it asks for protocol 50
	more        bool   // it asks for more than a mark
	unreachable bool   // its target is not there: the kernel passes over it
}

// parseRule parses the body of a rule message.
func parseRule(b []byte) (r ruleAnswer, err error) {
	const header = 12 // struct fib_rule_hdr
	if len(b) < header {
		return r, errOdd
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	r.unreachable = flags&unix.FIB_RULE_UNRESOLVED != 0
	r.more = b[1] != 0 || b[2] != 0 || b[3] != 0 || flags&unix.FIB_RULE_INVERT != 0 // destination, source, TOS
	target := uint32(0)
	for kind, v := range attributes(b[header:]) {
		switch kind {
		case unix.FRA_PRIORITY:
			r.priority = number(v)
		case unix.FRA_FWMARK:
			r.mark = number(v)
		case unix.FRA_FWMASK:
			r.mask = number(v)
		case unix.FRA_GOTO:
			target = number(v)
		case unix.FRA_TABLE, unix.FRA_PROTOCOL, unix.FRA_SUPPRESS_IFGROUP, unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_PAD:
		case unix.FRA_IP_PROTO:
			r.esp, r.more = len(v) > 0 && v[0] == unix.IPPROTO_ESP, true
		default:
			r.more = true
		}
	}
	if b[7] == unix.FR_ACT_GOTO {
		r.to = target
	}
	return r, nil
}

// byProtocol reports whether one of the rules, in their order, may lead packets of protocol 50 with
// a mark elsewhere than others. It may report so of a rule that no packet comes to, but not of
// those that are passed over by the mark alone, as culvert's own are.
func byProtocol(rules []ruleAnswer, mark uint32) bool {
	from := uint32(0)
	for _, r := range rules {
		if r.priority < from || r.unreachable || (r.mark^mark)&r.mask != 0 && !r.more {
			continue
		}
		if r.esp {
			return true
		}
		if r.to > r.priority && !r.more {
			from = r.to
		}
	}
	return false
}

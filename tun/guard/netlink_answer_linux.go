package guard

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// attributes calls f for each attribute of data.
func attributes(data []byte, f func(typ uint16, value []byte)) {
	for len(data) >= unix.SizeofNlAttr {
		n, typ := int(binary.NativeEndian.Uint16(data)), binary.NativeEndian.Uint16(data[2:])
		if n < unix.SizeofNlAttr || n > len(data) {
			return
		}
		f(typ&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofNlAttr:n])
		data = data[min((n+3)&^3, len(data)):]
	}
}

// textOf returns an attribute's text without the terminating zero.
func textOf(value []byte) string {
	for len(value) > 0 && value[len(value)-1] == 0 {
		value = value[:len(value)-1]
	}
	return string(value)
}

// parseError parses an acknowledgement. errno is 0 for success; text is the kernel's explanation,
// if any. With NETLINK_CAP_ACK the header of the message in question follows, and attributes.
func parseError(data []byte) (errno unix.Errno, text string) {
	if len(data) < 4 {
		return unix.EBADMSG, ""
	}
	errno = unix.Errno(-int32(binary.NativeEndian.Uint32(data)))
	if len(data) > 4+unix.NLMSG_HDRLEN {
		attributes(data[4+unix.NLMSG_HDRLEN:], func(typ uint16, value []byte) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				text = textOf(value)
			}
		})
	}
	return errno, text
}

// parseCounter parses a named counter.
func parseCounter(data []byte) (name string, packets uint64) {
	if len(data) < 4 {
		return "", 0
	}
	attributes(data[4:], func(typ uint16, value []byte) {
		switch typ {
		case unix.NFTA_OBJ_NAME:
			name = textOf(value)
		case unix.NFTA_OBJ_DATA:
			attributes(value, func(typ uint16, value []byte) {
				if typ == unix.NFTA_COUNTER_PACKETS && len(value) == 8 {
					packets = binary.BigEndian.Uint64(value)
				}
			})
		}
	})
	return name, packets
}

// parseNotice parses a notice of a change. It returns the table in question or, for the message
// that ends a change, the program that made it.
func parseNotice(typ uint16, data []byte) (table, program string) {
	if len(data) < 4 || typ&^0xff != subsystem {
		return "", ""
	}
	attributes(data[4:], func(attr uint16, value []byte) {
		switch {
		case typ == subsystem|unix.NFT_MSG_NEWGEN && attr == unix.NFTA_GEN_PROC_NAME:
			program = textOf(value)
		case typ != subsystem|unix.NFT_MSG_NEWGEN && data[0] == unix.NFPROTO_INET && attr == tableAttr:
			table = textOf(value)
		}
	})
	return table, program
}

// tableAttr is the attribute of the table's name in messages of every kind: NFTA_TABLE_NAME,
// NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, NFTA_OBJ_TABLE.
const tableAttr = 1

// An end is an element of a set of intervals: the first address of an interval, or the first one
// after it.
type end struct {
	netip.Addr
	last bool
}

// parseElements appends the elements of a message to ends.
func parseElements(data []byte, ends []end) []end {
	if len(data) < 4 {
		return ends
	}
	attributes(data[4:], func(typ uint16, list []byte) {
		if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return
		}
		attributes(list, func(_ uint16, element []byte) {
			var e end
			attributes(element, func(typ uint16, value []byte) {
				switch {
				case typ == unix.NFTA_SET_ELEM_FLAGS && len(value) == 4:
					e.last = binary.BigEndian.Uint32(value)&unix.NFT_SET_ELEM_INTERVAL_END != 0
				case typ == unix.NFTA_SET_ELEM_KEY:
					attributes(value, func(_ uint16, key []byte) { e.Addr, _ = netip.AddrFromSlice(key) })
				}
			})
			if e.IsValid() {
				ends = append(ends, e)
			}
		})
	})
	return ends
}

package hostpolicy

import (
	"encoding/binary"
	"errors"
	"iter"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// errLarge is an answer with more parts than are looked at.
var errLarge = errors.New("it is too large to be looked at")

// attributes are the netlink attributes in b, without flags. Other octets end them.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// number returns the value of an attribute of 32 bits in network order; of another, 0.
func number(v []byte) uint32 {
	if len(v) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

// text returns the value of an attribute that is a string.
func text(v []byte) string { return unix.ByteSliceToString(v) }

// nftables asks nftables for the objects of a kind, and calls f with the family and the attributes
// of each. If they change meanwhile, the error is nl.ErrDumpInterrupted.
func nftables(kind int, family uint8, most int, attrs []*nl.RtAttr, f func(family uint8, body []byte)) error {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family})
	for _, a := range attrs {
		req.AddData(a)
	}
	err := req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(b []byte) bool {
		if most--; most >= 0 && len(b) >= nl.SizeofNfgenmsg {
			f(b[0], b[nl.SizeofNfgenmsg:])
		}
		return most >= 0
	})
	if err == nil && most < 0 {
		return errLarge
	}
	return err
}

// isAbsent reports whether an error of nftables' first answer says that the kernel has none.
func isAbsent(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EINVAL)
}

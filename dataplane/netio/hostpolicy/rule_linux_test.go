package hostpolicy

import (
	"encoding/binary"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// be returns a number as nftables has it.
func be(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// attr returns an attribute.
func attr(kind int, v []byte) []byte { return nl.NewRtAttr(kind, v).Serialize() }

// expression returns an expression of attributes.
func expression(name string, attrs ...[]byte) []byte {
	var data []byte
	for _, a := range attrs {
		data = append(data, a...)
	}
	return attr(unix.NFTA_LIST_ELEM, append(attr(unix.NFTA_EXPR_NAME, nl.ZeroTerminated(name)), attr(unix.NFTA_EXPR_DATA, data)...))
}

// What nft does not write: an offset that holds the protocol in the other family only, registers
// that overlap, an expression that nobody knows.
func TestRule(t *testing.T) {
	protocol := func(offset uint32) []byte {
		return expression("payload", attr(unix.NFTA_PAYLOAD_DREG, be(1)), attr(unix.NFTA_PAYLOAD_BASE, be(unix.NFT_PAYLOAD_NETWORK_HEADER)),
			attr(unix.NFTA_PAYLOAD_OFFSET, be(offset)), attr(unix.NFTA_PAYLOAD_LEN, be(1)))
	}
	mark := func(register uint32) []byte {
		return expression("meta", attr(unix.NFTA_META_DREG, be(register)), attr(unix.NFTA_META_KEY, be(3)))
	}
	is := func(register uint32, op uint32, n ...byte) []byte {
		return expression("cmp", attr(unix.NFTA_CMP_SREG, be(register)), attr(unix.NFTA_CMP_OP, be(op)), attr(unix.NFTA_CMP_DATA, attr(unix.NFTA_DATA_VALUE, n)))
	}
	drop := expression("immediate", attr(unix.NFTA_IMMEDIATE_DREG, be(0)), attr(unix.NFTA_IMMEDIATE_DATA, attr(unix.NFTA_DATA_VERDICT, attr(unix.NFTA_VERDICT_CODE, be(0)))))
	for _, tt := range []struct {
		name  string
		exprs [][]byte
		v6    bool
		want  truth
	}{
		{"of IPv4", [][]byte{protocol(9), is(1, unix.NFT_CMP_EQ, 6), drop}, false, never},
		{"of IPv4 in a packet of IPv6", [][]byte{protocol(9), is(1, unix.NFT_CMP_EQ, 6), drop}, true, maybe},
		{"of IPv6", [][]byte{protocol(6), is(1, unix.NFT_CMP_EQ, 6), drop}, true, never},
		{"of IPv6 in a packet of IPv4", [][]byte{protocol(6), is(1, unix.NFT_CMP_EQ, 6), drop}, false, maybe},
		{"by the register's first part", [][]byte{protocol(9), is(8, unix.NFT_CMP_EQ, 6), drop}, false, never},
		{"another register", [][]byte{protocol(9), is(2, unix.NFT_CMP_EQ, 6), drop}, false, maybe},
		{"written over", [][]byte{protocol(9), mark(1), is(1, unix.NFT_CMP_EQ, 6), drop}, false, maybe},
		{"written over by the one before", [][]byte{protocol(9), mark(8), is(1, unix.NFT_CMP_EQ, 6), drop}, false, maybe},
		{"written over wherever", [][]byte{protocol(9), expression("fib"), is(1, unix.NFT_CMP_EQ, 6), drop}, false, maybe},
		{"less", [][]byte{protocol(9), is(1, unix.NFT_CMP_LT, 50), drop}, false, never},
		{"not less", [][]byte{protocol(9), is(1, unix.NFT_CMP_GTE, 50), drop}, false, always},
		{"an unknown comparison", [][]byte{protocol(9), is(1, 99, 50), drop}, false, maybe},
		{"of other lengths", [][]byte{protocol(9), is(1, unix.NFT_CMP_EQ, 6, 0), drop}, false, maybe},
	} {
		r := rule{walk: &walk{v6: tt.v6}}
		var exprs []byte
		for _, e := range tt.exprs {
			exprs = append(exprs, e...)
		}
		if got, err := r.eval(exprs); got != tt.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", tt.name, got, err, tt.want)
		}
	}
	for _, name := range []string{"", "counter", "match", "target", "of the future"} {
		if _, err := (&rule{walk: &walk{}}).eval(expression(name)); err == nil {
			t.Errorf("%q has no effect", name)
		}
	}
	for _, e := range [][]byte{expression("meta", attr(unix.NFTA_META_SREG, be(1))), expression("payload"), expression("immediate", attr(unix.NFTA_IMMEDIATE_DREG, be(0)))} {
		if _, err := (&rule{walk: &walk{}}).eval(e); err == nil {
			t.Errorf("%x has no effect", e)
		}
	}
}

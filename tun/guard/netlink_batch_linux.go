package guard

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A batch holds messages to nftables about one table, which take effect together. A message is a
// header, 4 octets of nfgenmsg and attributes (linux/netfilter/nf_tables.h). Numbers in attributes
// are big-endian, those in headers are in native byte order.
type batch struct {
	table string
	buf   []byte
	start []int    // offset of each message in buf
	what  []string // description of each message, for errors
	err   error
}

func newBatch(table string) *batch {
	b := &batch{table: table}
	b.begin(unix.NFNL_MSG_BATCH_BEGIN, 0, "the batch")
	return b
}

// empty reports whether the batch has no messages.
func (b *batch) empty() bool { return len(b.start) == 1 }

const (
	subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	headerLen = unix.NLMSG_HDRLEN + 4
)

// begin starts a message. The next call, or finish, ends it.
func (b *batch) begin(typ, flags uint16, what string) {
	b.end()
	b.start, b.what = append(b.start, len(b.buf)), append(b.what, what)
	b.buf = append(b.buf, 0, 0, 0, 0)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, flags|unix.NLM_F_REQUEST)
	b.buf = append(b.buf, make([]byte, 8)...) // the sequence number, our port
	family, resource := uint8(unix.NFPROTO_INET), uint16(0)
	if typ < subsystem {
		family, resource = unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES
	}
	b.buf = append(b.buf, family, unix.NFNETLINK_V0)
	b.buf = binary.BigEndian.AppendUint16(b.buf, resource)
}

// end writes the length of the last message.
func (b *batch) end() {
	if n := len(b.start); n > 0 {
		at := b.start[n-1]
		binary.NativeEndian.PutUint32(b.buf[at:], uint32(len(b.buf)-at))
	}
}

// finish returns the messages, numbered from first on, and the last number. The last message before
// the end of the batch asks for an acknowledgement; the kernel answers those that fail in any case.
func (b *batch) finish(first uint32) (raw []byte, last uint32) {
	flags := b.buf[b.start[len(b.start)-1]+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	b.begin(unix.NFNL_MSG_BATCH_END, 0, "the end of the batch")
	b.end()
	for i, at := range b.start {
		binary.NativeEndian.PutUint32(b.buf[at+8:], first+uint32(i))
	}
	return b.buf, first + uint32(len(b.start)) - 1
}

// request returns the only message of a batch, without the begin of the batch.
func (b *batch) request(seq uint32) []byte {
	b.end()
	raw := b.buf[b.start[1]:]
	binary.NativeEndian.PutUint32(raw[8:], seq)
	return raw
}

// explain returns the error of the i-th message, with its description.
func (b *batch) explain(i uint32, errno unix.Errno, text string) error {
	what := "the batch"
	if int(i) < len(b.what) {
		what = b.what[i]
	}
	if b.err != nil {
		return b.err
	}
	if text != "" {
		return fmt.Errorf("nftables refused %s: %w (%s)", what, errno, text)
	}
	return fmt.Errorf("nftables refused %s: %w", what, errno)
}

func (b *batch) attr(typ uint16, data ...byte) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(4+len(data)))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = append(b.buf, data...)
	b.pad()
}

func (b *batch) pad() {
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
}

func (b *batch) text(typ uint16, s string) { b.attr(typ, append([]byte(s), 0)...) }

func (b *batch) number(typ uint16, n uint32) {
	b.attr(typ, binary.BigEndian.AppendUint32(nil, n)...)
}

// nest appends an attribute that contains those that f appends.
func (b *batch) nest(typ uint16, f func()) {
	at := len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0)
	f()
	binary.NativeEndian.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
	binary.NativeEndian.PutUint16(b.buf[at+2:], typ|unix.NLA_F_NESTED)
}

func (b *batch) addTable() {
	b.begin(subsystem|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, "table "+b.table)
	b.text(unix.NFTA_TABLE_NAME, b.table)
	b.number(unix.NFTA_TABLE_FLAGS, 0)
}

func (b *batch) deleteTable() {
	b.begin(subsystem|unix.NFT_MSG_DELTABLE, 0, "removal of table "+b.table)
	b.text(unix.NFTA_TABLE_NAME, b.table)
}

// addCounter adds a named counter that starts at n packets.
func (b *batch) addCounter(name string, n uint64) {
	b.begin(subsystem|unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE, "counter "+name)
	b.text(unix.NFTA_OBJ_TABLE, b.table)
	b.text(unix.NFTA_OBJ_NAME, name)
	b.number(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	b.nest(unix.NFTA_OBJ_DATA, func() {
		b.attr(unix.NFTA_COUNTER_BYTES, make([]byte, 8)...)
		b.attr(unix.NFTA_COUNTER_PACKETS, binary.BigEndian.AppendUint64(nil, n)...)
	})
}

func (b *batch) deleteCounter(name string) {
	b.begin(subsystem|unix.NFT_MSG_DELOBJ, 0, "removal of counter "+name)
	b.text(unix.NFTA_OBJ_TABLE, b.table)
	b.text(unix.NFTA_OBJ_NAME, name)
	b.number(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
}

func (b *batch) addChain(name string) {
	b.begin(subsystem|unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, "chain "+name)
	b.text(unix.NFTA_CHAIN_TABLE, b.table)
	b.text(unix.NFTA_CHAIN_NAME, name)
}

// addBaseChain adds a chain at a hook of the kernel. Its policy is accept.
func (b *batch) addBaseChain(name, typ string, hook uint32, priority int32) {
	b.addChain(name)
	b.nest(unix.NFTA_CHAIN_HOOK, func() {
		b.number(unix.NFTA_HOOK_HOOKNUM, hook)
		b.number(unix.NFTA_HOOK_PRIORITY, uint32(priority))
	})
	b.number(unix.NFTA_CHAIN_POLICY, acceptPolicy)
	b.text(unix.NFTA_CHAIN_TYPE, typ)
}

// deleteChain removes a chain and its rules.
func (b *batch) deleteChain(name string) {
	b.begin(subsystem|unix.NFT_MSG_DELCHAIN, 0, "removal of chain "+name)
	b.text(unix.NFTA_CHAIN_TABLE, b.table)
	b.text(unix.NFTA_CHAIN_NAME, name)
}

// flushChain removes the rules of a chain.
func (b *batch) flushChain(name string) {
	b.begin(subsystem|unix.NFT_MSG_DELRULE, 0, "the rules of chain "+name)
	b.text(unix.NFTA_RULE_TABLE, b.table)
	b.text(unix.NFTA_RULE_CHAIN, name)
}

// addRule appends a rule to a chain.
func (b *batch) addRule(chain string, parts ...[]expr.Any) {
	b.begin(subsystem|unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "a rule of chain "+chain)
	b.text(unix.NFTA_RULE_TABLE, b.table)
	b.text(unix.NFTA_RULE_CHAIN, chain)
	b.nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for _, exprs := range parts {
			for _, e := range exprs {
				if by, ok := e.(countBy); ok {
					b.nest(unix.NFTA_LIST_ELEM, func() { by.put(b) })
					continue
				}
				raw, err := expr.Marshal(unix.NFPROTO_INET, e)
				if err != nil {
					b.err = err
				}
				b.attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, raw...)
			}
		}
	})
}

// acceptPolicy is NF_ACCEPT.
const acceptPolicy = 1

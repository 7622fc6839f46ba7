package hostpolicy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// errGone is a part of a ruleset that changed while it was read.
var errGone = errors.New("it is changing")

// truth is whether a rule matches a packet of IP protocol 50.
type truth uint8

const (
	never truth = iota
	maybe
	always
)

// A value is what is known of a register.
type value struct {
	known []byte // nil: nothing
	state bool   // it is the state of a connection
}

// A rule is a rule that is evaluated for packets of IP protocol 50.
type rule struct {
	*walk
	table    tableKey
	match    truth
	regs     map[uint32]value
	verdicts []verdict // more than one: any of them may be it
}

// eval returns whether the rule of some expressions matches. An error is an effect that it has, or
// one of its expressions that is not understood.
func (r *rule) eval(exprs []byte) (truth, error) {
	r.match, r.regs = always, make(map[uint32]value)
	for _, e := range attributes(exprs) {
		name, data := "", []byte(nil)
		for kind, v := range attributes(e) {
			switch kind {
			case unix.NFTA_EXPR_NAME:
				name = text(v)
			case unix.NFTA_EXPR_DATA:
				data = v
			}
		}
		m, err := r.step(name, data)
		if err != nil || m == never {
			return never, err
		}
		r.match = min(r.match, m)
	}
	return r.match, nil
}

// fields are the attributes of an expression, by their number.
type fields [16][]byte

// step evaluates one expression.
func (r *rule) step(name string, data []byte) (truth, error) {
	var a fields
	for kind, v := range attributes(data) {
		if int(kind) < len(a) {
			a[kind] = v
		}
	}
	switch name {
	case "meta":
		return r.load(name, a[unix.NFTA_META_SREG] != nil, a[unix.NFTA_META_DREG], r.meta(number(a[unix.NFTA_META_KEY])))
	case "payload":
		return r.load(name, a[unix.NFTA_PAYLOAD_SREG] != nil, a[unix.NFTA_PAYLOAD_DREG],
			r.header(number(a[unix.NFTA_PAYLOAD_BASE]), number(a[unix.NFTA_PAYLOAD_OFFSET]), number(a[unix.NFTA_PAYLOAD_LEN])))
	case "ct":
		r.stateful = true
		return r.load(name, a[unix.NFTA_CT_SREG] != nil, a[unix.NFTA_CT_DREG], value{state: number(a[unix.NFTA_CT_KEY]) == unix.NFT_CT_STATE})
	case "exthdr":
		return r.load(name, a[unix.NFTA_EXTHDR_SREG] != nil, a[unix.NFTA_EXTHDR_DREG], value{})
	case "fib", "rt", "socket":
		r.regs = nil // wherever it goes
		return always, nil
	case "byteorder":
		return r.load(name, false, a[unix.NFTA_BYTEORDER_DREG], value{})
	case "bitwise":
		return r.load(name, false, a[unix.NFTA_BITWISE_DREG], r.bitwise(&a))
	case "immediate":
		return r.immediate(a[unix.NFTA_IMMEDIATE_DREG], a[unix.NFTA_IMMEDIATE_DATA])
	case "cmp":
		return r.compare(&a)
	case "range":
		return maybe, nil
	case "lookup":
		return r.lookup(&a)
	}
	return never, fmt.Errorf("a rule that may concern ESP has %q", name)
}

// register returns the number of the first 32 bits of a register.
func register(v []byte) uint32 {
	const whole, part, parts = 4, 8, 4 // NFT_REG_4, NFT_REG32_00, and how many are in a whole one
	n := number(v)
	if n >= 1 && n <= whole {
		return part + (n-1)*parts
	}
	return n
}

// load puts a value into a register, unless the expression does something else.
func (r *rule) load(name string, writes bool, to []byte, v value) (truth, error) {
	if writes || to == nil {
		return never, fmt.Errorf("a rule that may concern ESP sets %q", name)
	}
	// It may be as long as all that follow.
	at := register(to)
	for n := range r.regs {
		if n >= at {
			delete(r.regs, n)
		}
	}
	if r.regs == nil {
		r.regs = make(map[uint32]value)
	}
	r.regs[at] = v
	return always, nil
}

// meta returns what is known of a key of the packet's metadata.
func (r *rule) meta(key uint32) value {
	switch key {
	case unix.NFT_META_L4PROTO:
		return value{known: []byte{unix.IPPROTO_ESP}}
	case unix.NFT_META_NFPROTO:
		if r.v6 {
			return value{known: []byte{unix.NFPROTO_IPV6}}
		}
		return value{known: []byte{unix.NFPROTO_IPV4}}
	case unix.NFT_META_PROTOCOL:
		if r.v6 {
			return value{known: binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)}
		}
		return value{known: binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)}
	}
	return value{}
}

// header returns what is known of a part of the packet: the protocol in the IP header.
func (r *rule) header(base, offset, size uint32) value {
	protocol := uint32(9)
	if r.v6 {
		protocol = 6
	}
	if base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == protocol && size == 1 {
		return value{known: []byte{unix.IPPROTO_ESP}}
	}
	return value{}
}

// invalid is the state of a connection that ESP never has: every packet of it makes or has one (the
// kernel's generic tracker).
var invalid = binary.NativeEndian.AppendUint32(nil, 1)

// bitwise returns what is known after an operation: only that no packet is in the state invalid.
func (r *rule) bitwise(a *fields) value {
	mask, xor := dataOf(a[unix.NFTA_BITWISE_MASK]), dataOf(a[unix.NFTA_BITWISE_XOR])
	v := r.regs[register(a[unix.NFTA_BITWISE_SREG])]
	if v.state && number(a[nftaBitwiseOp]) == 0 && bytes.Equal(mask, invalid) && bytes.Equal(xor, make([]byte, 4)) {
		return value{known: make([]byte, 4)}
	}
	return value{}
}

// nftaBitwiseOp is NFTA_BITWISE_OP: 0, or not there, for mask and xor.
const nftaBitwiseOp = 6

// immediate puts a constant into a register; in the first one it is the verdict.
func (r *rule) immediate(to, data []byte) (truth, error) {
	if number(to) != unix.NFT_REG_VERDICT {
		return r.load("immediate", false, to, value{})
	}
	v := parseVerdict(data)
	if v == nil {
		return never, errGone
	}
	r.verdicts = []verdict{*v}
	return always, nil
}

// compare compares a register with a constant.
func (r *rule) compare(a *fields) (truth, error) {
	v, with := r.regs[register(a[unix.NFTA_CMP_SREG])], dataOf(a[unix.NFTA_CMP_DATA])
	if v.known == nil || len(with) != len(v.known) {
		return maybe, nil
	}
	d := bytes.Compare(v.known, with)
	is := []bool{unix.NFT_CMP_EQ: d == 0, unix.NFT_CMP_NEQ: d != 0, unix.NFT_CMP_LT: d < 0, unix.NFT_CMP_LTE: d <= 0, unix.NFT_CMP_GT: d > 0, unix.NFT_CMP_GTE: d >= 0}
	op := number(a[unix.NFTA_CMP_OP])
	switch {
	case op >= uint32(len(is)):
		return maybe, nil
	case is[op]:
		return always, nil
	}
	return never, nil
}

// lookup looks a register up in a set, or in a map of verdicts.
func (r *rule) lookup(a *fields) (truth, error) {
	name, v := text(a[unix.NFTA_LOOKUP_SET]), r.regs[register(a[unix.NFTA_LOOKUP_SREG])]
	to := a[unix.NFTA_LOOKUP_DREG]
	s, err := r.rules.set(r.table, name)
	if err != nil {
		return never, err
	}
	if s.flags&(setExpr|setEvaluate) != 0 {
		return never, errors.New("a rule that may concern ESP has a set that counts")
	}
	byVerdict := to != nil && number(to) == unix.NFT_REG_VERDICT
	if to != nil && !byVerdict {
		_, _ = r.load("lookup", false, to, value{})
	}
	plain := v.known != nil && s.flags&(unix.NFT_SET_INTERVAL|unix.NFT_SET_TIMEOUT|setConcat) == 0
	if !plain && !byVerdict {
		return maybe, nil
	}
	list, err := r.rules.elementsOf(r.table, name)
	if err != nil {
		return never, err
	}
	return r.among(list, v, plain, byVerdict, number(a[unix.NFTA_LOOKUP_FLAGS])&unix.NFT_LOOKUP_F_INV != 0)
}

// among is lookup, after the elements were read.
func (r *rule) among(list []element, v value, plain, byVerdict, inverted bool) (truth, error) {
	odd := slices.ContainsFunc(list, func(e element) bool { return e.odd })
	found := never
	for _, e := range list {
		if plain && !odd && !bytes.Equal(e.key, v.known) || v.state && !odd && bytes.Equal(e.key, invalid) {
			continue
		}
		if found = maybe; plain && !odd {
			found = always
		}
		if byVerdict {
			if e.verdict == nil {
				return never, errGone
			}
			r.verdicts = append(r.verdicts, *e.verdict)
		}
	}
	if inverted {
		found = always - found
	}
	return found, nil
}

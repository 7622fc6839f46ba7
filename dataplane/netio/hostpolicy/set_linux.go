package hostpolicy

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A set is a set or map of nftables.
type set struct {
	flags    uint32
	elements []element // read when they matter
	read     bool
}

// An element is one of a set.
type element struct {
	key     []byte
	verdict *verdict // of a verdict map
	odd     bool     // more than a single key, or it counts, or ends by itself
}

// Flags of sets and elements (linux/netfilter/nf_tables.h).
const (
	setConcat   = 0x80
	setEvaluate = 0x20
	setExpr     = 0x100

	// Attributes of a set whose elements count (NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS).
	setAttrExpr, setAttrExprs = 0x11, 0x12
)

// set returns a set of a table. All sets of a table are read together.
func (r *ruleset) set(t tableKey, name string) (*set, error) {
	if !r.tables[t] {
		attrs := []*nl.RtAttr{nl.NewRtAttr(unix.NFTA_SET_TABLE, nl.ZeroTerminated(t.name))}
		if err := nftables(unix.NFT_MSG_GETSET, t.family, mostSets, attrs, func(_ uint8, b []byte) {
			name, s := parseSet(b)
			r.sets[chainKey{t, name}] = s
		}); err != nil {
			return nil, err
		}
		r.tables[t] = true
	}
	s := r.sets[chainKey{t, name}]
	if s == nil {
		return nil, errGone
	}
	return s, nil
}

func parseSet(b []byte) (name string, s *set) {
	s = &set{}
	for kind, v := range attributes(b) {
		switch kind {
		case unix.NFTA_SET_NAME:
			name = text(v)
		case unix.NFTA_SET_FLAGS:
			s.flags |= number(v)
		case setAttrExpr, setAttrExprs:
			s.flags |= setExpr
		}
	}
	return name, s
}

// elementsOf returns the elements of a set.
func (r *ruleset) elementsOf(t tableKey, name string) ([]element, error) {
	s, err := r.set(t, name)
	if err != nil {
		return nil, err
	}
	if s.read {
		return s.elements, nil
	}
	attrs := []*nl.RtAttr{
		nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(t.name)),
		nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(name)),
	}
	n := 0
	err = nftables(unix.NFT_MSG_GETSETELEM, t.family, mostElements, attrs, func(_ uint8, b []byte) {
		for kind, list := range attributes(b) {
			if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, e := range attributes(list) {
				if n++; n <= mostElements {
					s.elements = append(s.elements, parseElement(e))
				}
			}
		}
	})
	if err == nil && n > mostElements {
		err = errLarge
	}
	s.read = err == nil
	return s.elements, err
}

func parseElement(b []byte) (e element) {
	for kind, v := range attributes(b) {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			for kind, v := range attributes(v) {
				if kind == unix.NFTA_DATA_VALUE {
					e.key = v
				}
			}
		case unix.NFTA_SET_ELEM_DATA:
			e.verdict = parseVerdict(v)
		case unix.NFTA_SET_ELEM_FLAGS:
			e.odd = e.odd || number(v) != 0
		case unix.NFTA_SET_ELEM_PAD, unix.NFTA_SET_ELEM_USERDATA:
		default:
			e.odd = true
		}
	}
	return e
}

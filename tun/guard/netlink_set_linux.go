package guard

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Types of keys and values, as numbered by nft.
const (
	typeIPv4    = 7
	typeIPv6    = 8
	typeVerdict = 0xffffff00
)

// addSet adds a set of intervals of addresses, or a map from them to verdicts.
func (b *batch) addSet(name string, v6, verdicts bool) {
	flags := uint32(unix.NFT_SET_INTERVAL)
	if verdicts {
		flags |= unix.NFT_SET_MAP
	}
	b.addIntervals(name, v6, flags)
	if verdicts {
		b.number(unix.NFTA_SET_DATA_TYPE, typeVerdict)
	}
}

// addCounterMap adds a map from intervals of addresses to counters.
func (b *batch) addCounterMap(name string, v6 bool) {
	b.addIntervals(name, v6, unix.NFT_SET_INTERVAL|unix.NFT_SET_OBJECT)
	b.number(unix.NFTA_SET_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
}

func (b *batch) addIntervals(name string, v6 bool, flags uint32) {
	b.begin(subsystem|unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, "set "+name)
	b.text(unix.NFTA_SET_TABLE, b.table)
	b.text(unix.NFTA_SET_NAME, name)
	b.number(unix.NFTA_SET_ID, uint32(len(b.start)))
	typ, length := uint32(typeIPv4), uint32(4)
	if v6 {
		typ, length = typeIPv6, 16
	}
	b.number(unix.NFTA_SET_FLAGS, flags)
	b.number(unix.NFTA_SET_KEY_TYPE, typ)
	b.number(unix.NFTA_SET_KEY_LEN, length)
}

func (b *batch) deleteSet(name string) {
	b.begin(subsystem|unix.NFT_MSG_DELSET, 0, "removal of set "+name)
	b.text(unix.NFTA_SET_TABLE, b.table)
	b.text(unix.NFTA_SET_NAME, name)
}

// A leadsTo is the value of an interval in a map: a chain to go to, or a counter. It is zero in
// sets.
type leadsTo struct{ chain, counter string }

// elements adds intervals to a set, or removes them (NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM).
func (b *batch) elements(msg uint16, set string, n int, at func(i int) (protect.Range, leadsTo)) {
	for i := 0; i < n; {
		b.begin(subsystem|msg, unix.NLM_F_CREATE, "elements of set "+set)
		b.text(unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
		b.text(unix.NFTA_SET_ELEM_LIST_SET, set)
		b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
			for from := len(b.buf); i < n && len(b.buf)-from < maxNest; i++ {
				r, to := at(i)
				b.element(r.First, to, false)
				if after := r.Last.Next(); after.IsValid() { // the last address of a family has none
					b.element(after, leadsTo{}, true)
				}
			}
		})
	}
}

// maxNest is a length of a list after which no further interval is added. An attribute holds at
// most 64 KB.
const maxNest = 60 << 10

// element appends one end of an interval: its first address, or the first one after it.
func (b *batch) element(a netip.Addr, to leadsTo, end bool) {
	b.nest(unix.NFTA_LIST_ELEM, func() {
		if end {
			b.number(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		}
		b.nest(unix.NFTA_SET_ELEM_KEY, func() {
			if a.Is4() {
				k := a.As4()
				b.attr(unix.NFTA_DATA_VALUE, k[:]...)
				return
			}
			k := a.As16()
			b.attr(unix.NFTA_DATA_VALUE, k[:]...)
		})
		if to.counter != "" {
			b.text(unix.NFTA_SET_ELEM_OBJREF, to.counter)
		}
		if to.chain == "" {
			return
		}
		b.nest(unix.NFTA_SET_ELEM_DATA, func() {
			b.nest(unix.NFTA_DATA_VERDICT, func() {
				b.number(unix.NFTA_VERDICT_CODE, verdictGoto)
				b.text(unix.NFTA_VERDICT_CHAIN, to.chain)
			})
		})
	})
}

// verdictGoto is NFT_GOTO, -4.
const verdictGoto = 1<<32 - 4

package dataplane

import (
	"net/netip"
	"slices"
	"time"

	"culvert/dataplane/pmtu"
	"culvert/internal/ipsec"
)

// A paths holds all paths of a plane.
type paths struct {
	all     map[netip.AddrPort]*path // by outer.Remote()
	bySPI   map[uint32]*pair         // by outbound SPI
	sameSPI map[uint32][]*pair       // further pairs with the same SPI
	due     pathHeap
	made    uint64  // number of paths ever made
	count   int     // number of paths
	idle    int     // number of paths that no SA uses
	refresh []*path // paths still to be refreshed in this minute
	asked   time.Time
	budget  budget
	probes  []pmtu.Probe // scratch
}

func newPaths() paths {
	return paths{all: make(map[netip.AddrPort]*path), bySPI: make(map[uint32]*pair), sameSPI: make(map[uint32][]*pair)}
}

// of finds or makes the state of an outer path. A new one has no limits.
func (ps *paths) of(outer ipsec.Path) *path {
	if pt := ps.find(outer); pt != nil {
		return pt
	}
	remote := outer.Remote()
	pt := &path{outer: outer, next: ps.all[remote], place: -1}
	ps.all[remote] = pt
	ps.made++
	ps.count++
	ps.idle++
	return pt
}

// find returns the state of an outer path, or nil.
func (ps *paths) find(outer ipsec.Path) *path {
	pt := ps.all[outer.Remote()]
	for pt != nil && pt.outer != outer {
		pt = pt.next
	}
	return pt
}

// linkInUse returns the MTU of the first hop of a path that an SA uses, or 0.
func (ps *paths) linkInUse(outer ipsec.Path) int {
	if pt := ps.find(outer); pt != nil && len(pt.pairs) > 0 {
		return int(pt.link)
	}
	return 0
}

// forget drops a path that no SA uses.
func (ps *paths) forget(pt *path) {
	ps.idle--
	ps.count--
	remote := pt.outer.Remote()
	at := ps.all[remote]
	if at == pt {
		if pt.next == nil {
			delete(ps.all, remote)
			return
		}
		ps.all[remote] = pt.next
		return
	}
	for ; at != nil; at = at.next {
		if at.next == pt {
			at.next = pt.next
		}
	}
}

// addSPI and dropSPI maintain the pairs that ICMP may quote. Peers choose these SPIs, so that two
// may be the same.
func (ps *paths) addSPI(c *pair) {
	spi := c.out.SPI()
	if ps.bySPI[spi] == nil {
		ps.bySPI[spi] = c
		return
	}
	ps.sameSPI[spi] = append(ps.sameSPI[spi], c)
}

func (ps *paths) dropSPI(c *pair) {
	spi := c.out.SPI()
	same := slices.DeleteFunc(ps.sameSPI[spi], func(q *pair) bool { return q == c })
	if ps.bySPI[spi] == c {
		delete(ps.bySPI, spi)
		if len(same) > 0 {
			ps.bySPI[spi] = same[0]
			same = slices.Delete(same, 0, 1)
		}
	}
	if len(same) > 0 {
		ps.sameSPI[spi] = same
	} else {
		delete(ps.sameSPI, spi)
	}
}

// taken returns the paths that SAs use, and forgets those that have been unused for too long.
func (ps *paths) taken(now time.Time) []*path {
	var list, old []*path
	for _, pt := range ps.all {
		for ; pt != nil; pt = pt.next {
			switch {
			case len(pt.pairs) > 0:
				list = append(list, pt)
			case now.UnixNano()-pt.unused >= int64(rememberFor):
				old = append(old, pt)
			}
		}
	}
	for _, pt := range old {
		ps.forget(pt)
	}
	return list
}

// A pathHeap is a container/heap of paths by due.
type pathHeap []*path

func (h pathHeap) Len() int           { return len(h) }
func (h pathHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h pathHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = int32(i), int32(j)
}
func (h *pathHeap) Push(x any) {
	pt := x.(*path)
	pt.place = int32(len(*h))
	*h = append(*h, pt)
}
func (h *pathHeap) Pop() any {
	last := len(*h) - 1
	pt := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	pt.place = -1
	return pt
}

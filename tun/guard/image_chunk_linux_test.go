package guard

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// matching returns the chunks whose bounds hold an address, as a packet meets them.
func (g *group) matching(a netip.Addr) (list []int) {
	for i := range g.chunks {
		in := true
		for _, e := range g.within(i) {
			cmp := e.(*expr.Cmp)
			n := bytes.Compare(a.AsSlice(), cmp.Data)
			in = in && (cmp.Op == expr.CmpOpGte && n >= 0 || cmp.Op == expr.CmpOpLt && n < 0)
		}
		if in {
			list = append(list, i)
		}
	}
	return list
}

// After random changes every interval lies in the set in which a packet looks for it, cut at the
// bounds, and in no other.
func TestChunks(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 6))
		p := &policies{rng}
		cfg := testConfig()
		cfg.chunk = 1 + rng.IntN(4)
		m, set := newImage(&cfg), protect.NewSet()
		sets := make(map[string][]protect.Range) // as in the kernel
		for range 30 {
			b := newBatch("t")
			m.apply(b, p.change(set, [][]netip.Prefix{pfx("10.0.0.0/24", "fd00::/16")}))
			follow(t, sets, b)
			for id, g := range m.groups {
				got := make(map[string][]protect.Range)
				for i, c := range g.chunks {
					name := setName(id, c.number)
					got[name] = sets[name]
					if len(sets[name]) != c.n || c.n > 2*cfg.chunk {
						t.Fatalf("seed %d: set %s has %d intervals, %d are known; a chunk has %d", seed, name, len(sets[name]), c.n, cfg.chunk)
					}
					for _, r := range sets[name] {
						if first, last := g.matching(r.First), g.matching(r.Last); !slices.Equal(first, []int{i}) || !slices.Equal(last, first) {
							t.Fatalf("seed %d: %v is in chunk %d, and looked for in %v and %v", seed, r, i, first, last)
						}
					}
				}
				var all []protect.Range
				for _, c := range g.chunks {
					all = append(all, sets[setName(id, c.number)]...)
				}
				sortRanges(all)
				var want []protect.Range
				for _, s := range set.Groups() {
					if s.ID == id {
						want = s.Protected
					}
				}
				if !slices.Equal(join(all), join(want)) {
					t.Fatalf("seed %d: the sets hold %v, want %v", seed, join(all), want)
				}
			}
		}
	}
}

// follow applies the messages of a batch that are about elements to sets.
func follow(t *testing.T, sets map[string][]protect.Range, b *batch) {
	t.Helper()
	b.end()
	for i, at := range b.start {
		end := len(b.buf)
		if i+1 < len(b.start) {
			end = b.start[i+1]
		}
		what, isElements := bytes.CutPrefix([]byte(b.what[i]), []byte("elements of set "))
		gone, isGone := bytes.CutPrefix([]byte(b.what[i]), []byte("removal of set "))
		if name := string(gone); isGone {
			delete(sets, name)
		}
		if name := string(what); isElements && bytes.HasPrefix(what, []byte("group")) {
			for _, r := range intervals(parseElements(b.buf[at+unix.NLMSG_HDRLEN:end], nil)) {
				if b.buf[at+4] == unix.NFT_MSG_NEWSETELEM {
					sets[name] = append(sets[name], r)
					continue
				}
				at := slices.Index(sets[name], r)
				if at < 0 {
					t.Fatalf("%v is taken out of set %s, which has %v", r, name, sets[name])
				}
				sets[name] = slices.Delete(sets[name], at, at+1)
			}
			sortRanges(sets[name])
		}
	}
}

package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Standing returns what the guard of a device has counted, and whether there is one. It needs no Guard: the
// table may be one that a daemon left which has ended.
func Standing(device string) (st Stats, ok bool, err error) {
	devices, err := Devices()
	if err != nil || !slices.Contains(devices, device) {
		return Stats{}, false, err
	}
	err = withSocket(func(s *socket) error { st, err = s.countersOf(device); return err })
	return st, err == nil, err
}

// withSocket calls f with a socket. Where the kernel has no nftables it does not, since there is no guard then.
func withSocket(f func(s *socket) error) error {
	s, err := openSocket()
	if errors.Is(err, errNoNftables) {
		return nil
	}
	if err == nil {
		defer s.close()
		err = f(s)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// Devices returns the devices that have a guard in this network namespace.
func Devices() (devices []string, err error) {
	err = withSocket(func(s *socket) error {
		tables, err := s.tables()
		for _, t := range tables {
			if name, ok := strings.CutPrefix(t, tablePrefix); ok {
				devices = append(devices, strings.TrimSuffix(name, second))
			}
		}
		return err
	})
	slices.Sort(devices)
	return slices.Compact(devices), err
}

// Release takes the guard of a device away and returns what it held back. Where there is none, it does nothing. A
// daemon that runs puts it back.
func Release(device string) (o Opened, err error) {
	err = withSocket(func(s *socket) error {
		found, err := s.tables()
		for _, table := range tableNames(device) {
			if err != nil || !slices.Contains(found, table) {
				continue
			}
			if err = o.add(table); err != nil {
				continue
			}
			b := newBatch(table)
			b.deleteTable()
			err = s.commit(b)
		}
		return err
	})
	for _, list := range []*[]netip.Prefix{&o.Local, &o.Remote} {
		slices.SortFunc(*list, netip.Prefix.Compare)
		*list = slices.Compact(*list)
	}
	return o, err
}

// add reads the networks of a table.
func (o *Opened) add(table string) error {
	c := new(nftables.Conn)
	sets, err := c.GetSets(&nftables.Table{Name: table, Family: nftables.TableFamilyINet})
	if err != nil {
		return fmt.Errorf("reading table %s: %w", table, err)
	}
	for _, s := range sets {
		list := &o.Remote
		switch {
		case s.Name == "out4" || s.Name == "out6":
			list = &o.Local
		case !strings.HasPrefix(s.Name, groupPrefix):
			continue
		}
		elements, err := c.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("reading table %s: %w", table, err)
		}
		for _, r := range intervals(elements) {
			*list = append(*list, prefixes(r)...)
		}
	}
	return nil
}

// intervals joins the ends of a set's elements, in order.
func intervals(elements []nftables.SetElement) []protect.Range {
	type end struct {
		a    netip.Addr
		last bool
	}
	var ends []end
	for _, e := range elements {
		if a, ok := netip.AddrFromSlice(e.Key); ok {
			ends = append(ends, end{a, e.IntervalEnd})
		}
	}
	slices.SortFunc(ends, func(x, y end) int {
		if c := x.a.Compare(y.a); c != 0 || x.last == y.last {
			return c
		}
		if x.last { // one ends where the next begins
			return -1
		}
		return 1
	})
	var out []protect.Range
	for i, e := range ends {
		switch {
		case e.last:
		case i+1 < len(ends) && ends[i+1].last:
			out = append(out, protect.Range{First: e.a, Last: ends[i+1].a.Prev()})
		default: // to the last address
			out = append(out, protect.Range{First: e.a, Last: protect.RangeOf(netip.PrefixFrom(e.a, 0).Masked()).Last})
		}
	}
	return out
}

// prefixes returns the fewest prefixes that make up an interval.
func prefixes(r protect.Range) []netip.Prefix {
	var out []netip.Prefix
	for a := r.First; a.IsValid() && !r.Last.Less(a); {
		bits := a.BitLen()
		for bits > 0 {
			p := netip.PrefixFrom(a, bits-1)
			if p.Masked() != p || r.Last.Less(protect.RangeOf(p).Last) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(a, bits)
		out = append(out, p)
		a = protect.RangeOf(p).Last.Next()
	}
	return out
}

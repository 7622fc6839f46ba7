package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// Standing returns the counters of a device's guard, and reports whether there is one. The table
// may be one that an earlier daemon left.
func Standing(device string) (st Stats, ok bool, err error) {
	devices, err := Devices()
	if err != nil || !slices.Contains(devices, device) {
		return Stats{}, false, err
	}
	var c counts
	err = withSocket(func(s *socket) error { c, err = s.countersOf(device); return err })
	return c.Stats, err == nil, err
}

// withSocket calls f with a socket. It returns nil where the kernel has no nftables and thus no
// guard.
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

// Release deletes the guard of a device and returns the networks between which it dropped traffic.
// It does nothing if there is none. A running daemon restores its guard.
func Release(device string) (o Opened, err error) {
	err = withSocket(func(s *socket) error {
		found, err := s.tables()
		for _, table := range tableNames(device) {
			if err != nil || !slices.Contains(found, table) {
				continue
			}
			if err = o.add(s, table); err != nil {
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

// add adds the networks of a table.
func (o *Opened) add(s *socket, table string) error {
	sets, err := s.sets(table)
	if err != nil {
		return err
	}
	for _, name := range sets {
		list := &o.Remote
		switch {
		case name == "out4" || name == "out6":
			list = &o.Local
		case !strings.HasPrefix(name, groupPrefix):
			continue
		}
		ranges, err := s.elements(table, name)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			*list = append(*list, r.Prefixes()...)
		}
	}
	return nil
}

// sets returns the names of a table's sets.
func (s *socket) sets(table string) (names []string, err error) {
	b := newBatch(table)
	b.begin(subsystem|unix.NFT_MSG_GETSET, unix.NLM_F_DUMP, "the sets")
	b.text(unix.NFTA_SET_TABLE, table)
	err = s.retry(b, func() { names = nil }, func(_ uint16, data []byte) {
		attributes(data[4:], func(typ uint16, value []byte) {
			if typ == unix.NFTA_SET_NAME {
				names = append(names, textOf(value))
			}
		})
	})
	return names, err
}

// elements returns the intervals of a set.
func (s *socket) elements(table, set string) ([]protect.Range, error) {
	var ends []end
	b := newBatch(table)
	b.begin(subsystem|unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, "the elements")
	b.text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	b.text(unix.NFTA_SET_ELEM_LIST_SET, set)
	err := s.retry(b, func() { ends = nil }, func(_ uint16, data []byte) {
		ends = parseElements(data, ends)
	})
	return intervals(ends), err
}

// intervals returns the intervals of a set, in order, from its elements.
func intervals(ends []end) []protect.Range {
	slices.SortFunc(ends, func(x, y end) int {
		if c := x.Compare(y.Addr); c != 0 || x.last == y.last {
			return c
		}
		if x.last { // an interval that ends where the next one begins
			return -1
		}
		return 1
	})
	var out []protect.Range
	for i, e := range ends {
		switch {
		case e.last:
		case i+1 < len(ends) && ends[i+1].last:
			out = append(out, protect.Range{First: e.Addr, Last: ends[i+1].Prev()})
		default: // up to the last address of the family
			out = append(out, protect.Range{First: e.Addr, Last: protect.RangeOf(netip.PrefixFrom(e.Addr, 0).Masked()).Last})
		}
	}
	return out
}

package tun

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// rules lists the policy rules of both families, each in the order of their priorities.
func (r *Router) rules() ([]kernelRule, error) { return listRules(r.nl) }

func listRules(nl *conn) (out []kernelRule, err error) {
	for _, v6 := range []bool{false, true} {
		var list []kernelRule
		ask := func(b []byte) []byte {
			return header(b, unix.RTM_GETRULE, 0, append([]byte{familyOf(v6)}, make([]byte, unix.SizeofRtMsg-1)...)...)
		}
		err := nl.dump(ask, func() { list = nil }, func(m message) {
			if k, ok := parseRule(m.body); ok && k.v6 == v6 {
				list = append(list, k)
			}
		})
		if err != nil && !missing(err) { // missing: the host lacks the family
			return nil, fmt.Errorf("tun: listing routing rules: %w", err)
		}
		out = append(out, sortedRules(list)...)
	}
	return out, nil
}

// listRoutes calls each for the routes of a table, of both families.
func listRoutes(nl *conn, table int, each func(k kernelRoute)) error {
	list := nl.list
	defer func() {
		if nl.list = list[:0]; cap(list) > maxKept {
			nl.list = nil
		}
	}()
	for _, v6 := range []bool{false, true} {
		ask := func(b []byte) []byte {
			b = header(b, unix.RTM_GETROUTE, 0, append([]byte{familyOf(v6)}, make([]byte, unix.SizeofRtMsg-1)...)...)
			if nl.strict {
				b = attribute32(b, unix.RTA_TABLE, uint32(table))
			}
			return b
		}
		err := nl.dump(ask, func() { list = list[:0] }, func(m message) {
			if k, ok := parseRoute(m.body); ok && k.table == uint32(table) {
				list = append(list, k)
			}
		})
		if missing(err) { // the host lacks the family, or the table is empty
			continue
		}
		if err != nil {
			return fmt.Errorf("tun: listing routing table %d: %w", table, err)
		}
		for _, k := range list {
			each(k)
		}
	}
	return nil
}

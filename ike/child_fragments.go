package ike

import (
	"slices"

	"culvert/ike/wire"
	"culvert/selector"
)

// Where the selectors of a Child SA name ports, non-initial fragments, which carry none, use the
// Child SA only if both sides agree to it (RFC 4301, Section 7.3; RFC 7296, Section 1.3.1). The
// dataplane assigns them by their first fragment, so we ask for it, and agree when the peer asks.
//
//	HDR, SK {..., SA, [Ni,] TSi, TSr, N(NON_FIRST_FRAGMENTS_ALSO)}  -->
//	                    <--  HDR, SK {..., SA, [Nr,] TSi, TSr, N(NON_FIRST_FRAGMENTS_ALSO)}

// nonFirst returns the notify for a Child SA with these selectors, or nil if it needs none.
func nonFirst(local, remote []selector.Selector) []wire.Payload {
	if !slices.ContainsFunc(slices.Concat(local, remote), tellsPorts) {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NonFirstFragmentsAlso}}
}

func tellsPorts(s selector.Selector) bool { return !s.AnyPorts() && !s.OpaquePorts() }

// asksForFragments reports whether the peer's request asks for non-initial fragments.
func asksForFragments(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.NonFirstFragmentsAlso)
	return ok
}

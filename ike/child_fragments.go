package ike

import (
	"slices"

	"culvert/ike/wire"
	"culvert/selector"
)

// Where the selectors of a Child SA tell ports apart, later fragments, which have none, go by it
// only as both sides say (RFC 4301, Section 7.3; RFC 7296, Section 1.3.1). The dataplane sends and
// takes them by their first ones, so we ask, and agree where the peer asks.
//
//	HDR, SK {..., SA, [Ni,] TSi, TSr, N(NON_FIRST_FRAGMENTS_ALSO)}  -->
//	                    <--  HDR, SK {..., SA, [Nr,] TSi, TSr, N(NON_FIRST_FRAGMENTS_ALSO)}

// nonFirst returns the notify for a Child SA with these selectors, if there is to be one.
func nonFirst(local, remote []selector.Selector) []wire.Payload {
	if !slices.ContainsFunc(slices.Concat(local, remote), tellsPorts) {
		return nil
	}
	return []wire.Payload{&wire.Notify{Kind: wire.NonFirstFragmentsAlso}}
}

func tellsPorts(s selector.Selector) bool { return !s.AnyPorts() && !s.OpaquePorts() }

// asksForFragments reports whether the peer's request asks for later fragments.
func asksForFragments(ps []wire.Payload) bool {
	_, ok := wire.FindNotify(ps, wire.NonFirstFragmentsAlso)
	return ok
}

package ike

import (
	"culvert/ike/child"
	"culvert/ike/wire"
	"culvert/selector"
)

// selectorsToOffer returns TSi and TSr of a new Child SA: first those of the packet that triggered
// it, then all of the policy's entry in the SPD (RFC 7296, Section 2.9), up to the number that a
// payload holds. If the policy's Child SAs are for single pairs it is the one of that packet alone.
func selectorsToOffer(pol *child.Policy) (local, remote []selector.Selector) {
	if local, remote, ok := pol.Single(pol.Flow()); ok {
		return local, remote
	}
	entry := entryOf(pol)
	if pol.Settings.Narrow == child.NarrowTraffic && pol.Flow() != nil && selector.MatchOutbound(pol.Flow(), entry.Local, entry.Remote) {
		l, r := selector.Specific(pol.Flow())
		local, remote = append(local, l), append(remote, r)
	}
	return fit(append(local, entry.Local...), append(remote, entry.Remote...))
}

// fit cuts selectors to the number that a payload holds.
func fit(local, remote []selector.Selector) ([]selector.Selector, []selector.Selector) {
	return local[:min(len(local), selector.MaxSelectors)], remote[:min(len(remote), selector.MaxSelectors)]
}

// wireTS returns selectors as a TS payload.
func wireTS(responder bool, list []selector.Selector) *wire.TS {
	ts := &wire.TS{Responder: responder}
	for _, s := range list {
		ts.Selectors = append(ts.Selectors, wire.TrafficSelector{Protocol: s.Protocol, StartPort: s.StartPort, EndPort: s.EndPort, Start: s.Start, End: s.End})
	}
	return ts
}

// selectorsOf returns the selectors of a TS payload, without invalid ones.
func selectorsOf(ts *wire.TS) []selector.Selector {
	var list []selector.Selector
	for _, w := range ts.Selectors {
		s := selector.Selector{Start: w.Start, End: w.End, Protocol: w.Protocol, StartPort: w.StartPort, EndPort: w.EndPort}
		if s.Valid() {
			list = append(list, s)
		}
	}
	return list
}

package ike

import (
	"maps"
	"slices"

	"culvert/ike/certificate"
	"culvert/ike/wire"
)

// What a credential adds to the response of IKE_SA_INIT goes out before the caller is known: that
// of all peers that may call, merged. It is the same for most of them, because peers share
// authorities, and so it is counted as initTerms are.

// An announcement is what credentials add to a response of IKE_SA_INIT, as encoded, in the two
// forms in which callers get it.
type announcement struct {
	all, brief string // with the methods of authentication, and without
	choice     bool   // the methods leave one
}

// announcementOf returns the forms of an encoded announcement.
func announcementOf(all string) announcement {
	ps := decodeAnnouncement(all)
	return announcement{all, encodeAnnouncement(certificate.WithoutMethods(ps)), certificate.LeavesChoice(ps)}
}

// announcements counts the peers by the payloads of their credentials in the response of
// IKE_SA_INIT, as encoded.
type announcements map[string]int

// count adds a peer (n = 1) or removes it (n = -1), and reports whether the set of payloads has
// changed.
func (t announcements) count(p *profile, n int) bool {
	all := p.announced.all
	if all == "" {
		return false
	}
	before := len(t)
	if t[all] += n; t[all] == 0 {
		delete(t, all)
	}
	return len(t) != before
}

// encodeAnnouncement returns payloads as a string, by which equal ones are known.
func encodeAnnouncement(ps []wire.Payload) string {
	if len(ps) == 0 {
		return ""
	}
	return string(wire.AppendPayloads([]byte{byte(wire.FirstType(ps))}, ps))
}

// decodeAnnouncement returns the payloads of encodeAnnouncement.
func decodeAnnouncement(s string) []wire.Payload {
	if s == "" {
		return nil
	}
	ps, err := wire.ParsePayloads(wire.PayloadType(s[0]), []byte(s[1:]))
	if err != nil {
		panic("ike: internal error: the payloads of a credential: " + err.Error())
	}
	return ps
}

// maxAnnounced bounds the different sets of payloads that are merged: some thousand peers might
// each have an authority of its own.
const maxAnnounced = 64

// merged returns the payloads of all, as encoded, in an order that does not depend on that of their
// counting.
func (t announcements) merged() string {
	list := slices.Sorted(maps.Keys(t))
	return mergeAnnouncements(list[:min(len(list), maxAnnounced)]...)
}

// mergeAnnouncements merges the payloads of several credentials, as encoded: each notify once, one
// CERTREQ of each encoding, and the methods of all in one SUPPORTED_AUTH_METHODS.
func mergeAnnouncements(list ...string) string {
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	if len(list) == 0 {
		return ""
	}
	if slices.Max(list) == slices.Min(list) {
		return list[0] // merged already, or of one credential
	}
	var ps, out []wire.Payload
	for _, s := range list {
		ps = append(ps, decodeAnnouncement(s)...)
	}
	seen := map[wire.NotifyType]bool{}
	for _, p := range certificate.Merge(ps) {
		if n, ok := p.(*wire.Notify); ok {
			if seen[n.Kind] {
				continue
			}
			seen[n.Kind] = true
		}
		out = append(out, p)
	}
	return encodeAnnouncement(out)
}

// maxResponse is the greatest length of a response of IKE_SA_INIT that has SUPPORTED_AUTH_METHODS:
// one that IPv6 carries whole over a path of its least MTU, as responders have to take into account
// (RFC 9593, Section 3.1).
const maxResponse = 1280 - 40 - 8

// announcedTo returns those of announcementFor that a caller gets. The methods are among them if
// there is a choice, the caller knows signatures (RFC 7427), and they do not make the response too
// long.
func announcedTo(d Datagram, request []wire.Payload, a announcement) string {
	if a.choice && certificate.Announced(request) != 0 && !amplifies(d, request, a.all) {
		if ke, _ := wire.Find[*wire.KE](request); octetsOfResponse+len(ke.Data)+len(a.all) <= maxResponse {
			return a.all
		}
	}
	return a.brief
}

// announcementFor returns the payloads for a caller at an address that known peers
// have: their own first, since a list of authorities is bounded. Whom else it may be is as in
// termsFor.
func (t *peerTable) announcementFor(known []*profile) announcement {
	if len(known) == 0 {
		if len(t.anywhere) == 0 {
			return t.announced[1]
		}
		return t.announced[0]
	}
	known = known[:min(len(known), maxKnown)]
	var list []string
	for _, p := range known {
		list = append(list, p.announced.all)
	}
	all := mergeAnnouncements(append(list, t.announced[0].all)...)
	// Most often it is that of one of them, in both forms.
	if all == t.announced[0].all {
		return t.announced[0]
	}
	if i := slices.Index(list, all); i >= 0 {
		return known[i].announced
	}
	return announcementOf(all)
}

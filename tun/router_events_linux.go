package tun

import "golang.org/x/sys/unix"

// events holds the notices on which the router has not acted yet.
type events struct {
	news   news
	whole  bool // notices were lost, or it is time: everything must be compared
	addrs  []addrEvent
	rules  map[kernelRule]ruleEvent
	routes map[kernelRoute]routeEvent
	device deviceNews
}

// news is what the notices concern. A later one includes those before.
type news uint8

const (
	noNews    news = iota
	oursNews       // our rules and routes, or where they are
	hostsNews      // addresses or links of this host
)

// deviceNews is what the notices tell of the device.
type deviceNews uint8

const (
	deviceSame deviceNews = iota
	deviceUp              // it is up
	deviceDown            // it is down
	deviceBack            // it was down, and is up
)

// then returns the news after a notice that the device is up or down.
func (d deviceNews) then(up bool) deviceNews {
	switch {
	case !up:
		return deviceDown
	case d == deviceDown || d == deviceBack:
		return deviceBack
	}
	return deviceUp
}

// An addrEvent is a notice of an address that was added, changed or removed.
type addrEvent struct {
	hostAddr
	usable, gone bool
}

// A ruleEvent or routeEvent is the last notice of a rule or route.
type (
	ruleEvent struct {
		gone bool
		by   by
	}
	routeEvent = ruleEvent
)

// full reports whether no further event can be recorded.
func (e *events) full() bool { return len(e.addrs)+len(e.rules)+len(e.routes) >= maxEvents }

// reset removes all events.
func (e *events) reset() {
	*e = events{rules: make(map[kernelRule]ruleEvent), routes: make(map[kernelRoute]routeEvent)}
}

// note records a message in e.
func (r *Router) note(e *events, m message, links map[uint32]uint32) {
	switch m.kind {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, usable, ok := parseAddr(m.body)
		if ok && !e.full() {
			e.addrs = append(e.addrs, addrEvent{a, usable, m.kind == unix.RTM_DELADDR})
		}
		e.news = hostsNews
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		r.noteLink(e, m, links)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if k, ok := parseRule(m.body); ok && !e.full() {
			e.news = max(e.news, oursNews)
			e.rules[k] = ruleEvent{m.kind == unix.RTM_DELRULE, by(m.port)}
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		k, ok := parseRoute(m.body)
		if t := int(k.table) - r.table; ok && t >= 0 && t < tablesEach && !e.full() {
			e.news = max(e.news, oursNews)
			e.routes[k] = routeEvent{m.kind == unix.RTM_DELROUTE, by(m.port)}
		}
	}
}

func (r *Router) noteLink(e *events, m message, links map[uint32]uint32) {
	l, ok := parseLink(m.body)
	if !ok {
		return
	}
	const state = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	flags := l.flags & state
	if m.kind == unix.RTM_DELLINK {
		flags = 0
	}
	if old, known := links[l.index]; known && old == flags && l.index != r.link {
		return // another property, such as its statistics
	}
	links[l.index] = flags
	e.news = hostsNews
	if l.index == r.link {
		e.device = e.device.then(l.up && m.kind == unix.RTM_NEWLINK)
	}
}

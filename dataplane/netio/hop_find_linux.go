package netio

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// obstacle is why packets of a path always go through the IP stack.
type obstacle string

func (o obstacle) Error() string { return string(o) }

const (
	obstacleRule     obstacle = "a routing rule looks at the IP protocol"
	obstacleMany     obstacle = "its route has several next hops"
	obstacleOther    obstacle = "its route adds headers, or its gateway is of the other family"
	obstacleKind     obstacle = "it does not lead to another host"
	obstacleEthernet obstacle = "its device is not an Ethernet device"
	obstacleVRF      obstacle = "its device is in a VRF"
)

// Reasons that pass are not told.
var (
	errNotCarried   = errors.New("netio: packets are received through the IP stack at this device")
	errNotOurs      = errors.New("netio: not an address of this host")
	errNoNeighbour  = errors.New("netio: the neighbour is not known")
	errDeviceIsDown = errors.New("netio: the device is down")
	errDeaf         = errors.New("netio: changes of routes are not seen any more")
)

// isFixed reports whether only a change that has a notice can end an error.
func isFixed(err error) bool {
	var o obstacle
	return errors.As(err, &o) || errors.Is(err, errNotCarried)
}

// tell logs an obstacle, each once.
func (h *hopCache) tell(k hopKey, err error) {
	var o obstacle
	if !errors.As(err, &o) || h.told[o] {
		return
	}
	h.told[o] = true
	h.log.Info("protocol 50 to this address, and others alike, is sent through the IP stack: "+string(o), "event", "fast-path", "remote", k.remote.String())
}

// find asks the kernel for the first hop of e, and sets its device and its neighbour.
func (h *hopCache) find(e *entry) (f first, err error) {
	e.link, e.via = 0, e.key.remote
	if h.deaf.Load() {
		return f, errDeaf
	}
	if err := h.findRules(int(familyOf(e.key.remote))); err != nil {
		return f, err
	}
	r, err := h.findRoute(e.key)
	if err != nil {
		return f, err
	}
	e.link, f.link, f.hops = r.link, r.link, r.hops
	if r.via.IsValid() {
		e.via = r.via
	}
	if err := h.findDevice(&f, e.key.remote.Is4()); err != nil {
		return f, err
	}
	n, err := h.kernel.neighbour(neighbourKey{f.link, e.via})
	if err != nil || !n.valid {
		return f, errNoNeighbour
	}
	f.to = n.to
	return f, nil
}

// findRules fails if the kernel cannot be asked for routes of a family. It asks for the rules only
// after they have changed.
func (h *hopCache) findRules(family int) error {
	if h.rulesChanged.Swap(false) {
		h.byProtocol = make(map[int]bool)
	}
	by, known := h.byProtocol[family]
	if !known {
		var err error
		if by, err = h.kernel.rulesByProtocol(family, h.mark); err != nil {
			return err
		}
		h.byProtocol[family] = by
	}
	if by {
		return obstacleRule
	}
	return nil
}

// findRoute returns the route to a single next hop.
func (h *hopCache) findRoute(k hopKey) (r routeAnswer, err error) {
	// Over IPv6 the kernel answers for any source.
	ours, err := h.kernel.route(hopKey{k.local, k.local, 0}, h.mark, false)
	if err != nil || ours.kind != unix.RTN_LOCAL {
		return r, errNotOurs
	}
	whole, err := h.kernel.route(k, h.mark, true)
	if err != nil {
		return r, err
	}
	if r, err = h.kernel.route(k, h.mark, false); err != nil {
		return r, err
	}
	switch {
	case r.kind != unix.RTN_UNICAST:
		return r, obstacleKind
	case whole.many || whole.link == 0: // only the number of a next hop object (nexthop_compat_mode)
		return r, obstacleMany
	case whole.other || r.other:
		return r, obstacleOther
	}
	return r, nil
}

// findDevice adds what the device decides.
func (h *hopCache) findDevice(f *first, v4 bool) error {
	l, err := h.kernel.link(f.link)
	switch {
	case err != nil:
		return err
	case !l.ethernet:
		return obstacleEthernet
	case l.vrf:
		return obstacleVRF
	case !l.up:
		return errDeviceIsDown
	case !h.carries(f.link):
		return errNotCarried
	}
	f.from, f.mtu = l.addr, l.mtu
	if f.hops != 0 {
		return nil
	}
	if !v4 {
		f.hops = l.hops6
	} else if n, err := unix.GetsockoptInt(h.ttl, unix.SOL_IP, unix.IP_TTL); err == nil {
		f.hops = uint8(n)
	}
	if f.hops == 0 {
		return fmt.Errorf("netio: no hop limit for device %d", f.link)
	}
	return nil
}

package netio

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// tell logs once how packets come.
func (i *inlet) tell(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reason = err
	log := i.net.log.With(slog.String("event", "fast-path"))
	if err != nil {
		log.Info("ESP comes by the raw socket, which costs throughput: "+i.why(), "error", err)
		return
	}
	log.Info("ESP of live SAs comes past the IP stack: firewalls and conntrack do not see it", "devices", strings.Join(i.devices, ","))
}

// why returns the reason in words. i.mu is held.
func (i *inlet) why() string {
	switch {
	case errors.Is(i.reason, ebpf.ErrNotSupported), errors.Is(i.reason, unix.ENOSYS):
		return "this kernel has no programs at devices (Linux 6.6 has them)"
	case errors.Is(i.reason, unix.EPERM), errors.Is(i.reason, unix.EACCES):
		return "programs at devices need CAP_BPF and CAP_NET_ADMIN"
	}
	return fmt.Sprint(i.reason)
}

// FastPath says how packets of IP protocol 50 come: "off", "idle" before the first SA, "on" and the
// devices, or "socket" and the reason.
func (n *Net) FastPath() string {
	i := n.inlet
	if i == nil {
		return "off"
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.reason != nil:
		return "socket: " + i.why()
	case i.table == nil:
		return "idle"
	case len(i.devices) == 0:
		return "socket: no Ethernet device with an address of ours and an MTU that fits"
	}
	return "on: " + strings.Join(i.devices, ",")
}

// full returns the number of packets that found a ring full.
func (i *inlet) full() (n uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n = i.lost
	for _, p := range i.net.ports {
		if r := p.ring.Load(); r != nil {
			n += r.full()
		}
	}
	return n
}

//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"culvert/internal/netlab"
)

// logDrops logs what the kernel has dropped at the hosts of the network, by place: on a busy
// machine a socket or a device overflows, and what was lost there says nothing about the tunnel.
// What culvert has dropped is in its counters.
func (n *network) logDrops(t *testing.T) {
	t.Helper()
	for _, h := range []*netlab.Host{n.left, n.nat, n.right} {
		if h == nil {
			continue
		}
		drops, err := kernelDrops(h)
		t.Logf("dropped by the kernel at %s: %s, %v", h.Name, drops, err)
	}
}

// kernelDrops returns the counters of a host that are not 0: of devices, of UDP, and of sockets.
func kernelDrops(h *netlab.Host) (string, error) {
	var drops []string
	note := func(count any, place ...string) {
		if text := fmt.Sprint(count); text != "0" {
			drops = append(drops, strings.Join(place, " ")+": "+text)
		}
	}
	links, failed := h.Netlink().LinkList()
	for _, l := range links {
		a := l.Attrs()
		note(a.Statistics.TxDropped, a.Name, "tx")
		note(a.Statistics.RxDropped, a.Name, "rx")
	}
	err := h.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		lines := strings.Split(string(text), "\n")
		for i := 1; i < len(lines); i += 2 { // a line of names, a line of values
			names, values := strings.Fields(lines[i-1]), strings.Fields(lines[i])
			for k := range min(len(names), len(values)) {
				if names[0] == "Udp:" && strings.HasSuffix(names[k], "Errors") || strings.HasSuffix(names[k], "Discards") {
					note(values[k], names[0]+names[k])
				}
			}
		}
		return err
	})
	return strings.Join(drops, ", "), errors.Join(failed, err)
}

package daemon

import (
	"fmt"
	"log/slog"
	"net"

	"culvert/internal/config"
	"culvert/tun/guard"
)

// warnLeft warns of guards of earlier daemons that this one does not take over: they hold their
// flows back from its device as well, and its status does not count these drops.
func warnLeft(c *config.Daemon, log *slog.Logger) {
	standing, err := guard.Devices()
	if err != nil {
		return // the probe has logged it
	}
	for _, line := range leftGuards(c, standing, func(device string) bool { _, err := net.InterfaceByName(device); return err == nil }) {
		log.Warn(line, "event", "guard-left")
	}
}

// leftGuards returns the warnings about the devices with a guard. exists reports whether a device
// is present, and thus has a daemon.
func leftGuards(c *config.Daemon, standing []string, exists func(device string) bool) (lines []string) {
	for _, d := range standing {
		switch {
		case d == c.TUN && c.Guard == config.GuardOff:
			lines = append(lines, fmt.Sprintf("[daemon] guard is \"off\", but the guard that an earlier daemon left for %s is in force, with that daemon's policies and mark: `culvert release --tun %s --force` removes it", d, d))
		case d != c.TUN && !exists(d):
			lines = append(lines, fmt.Sprintf("the guard of %s stands without its daemon, and drops its protected traffic although %s carries it now: unless its daemon will run again, `culvert release --tun %s` removes it", d, c.TUN, d))
		}
	}
	return lines
}

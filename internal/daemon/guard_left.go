package daemon

import (
	"fmt"
	"log/slog"
	"net"

	"culvert/internal/config"
	"culvert/tun/guard"
)

// warnLeft tells of guards that earlier daemons left and this one does not take over: they hold
// their flows back from its device, too, and its status does not count that.
func warnLeft(c *config.Daemon, log *slog.Logger) {
	standing, err := guard.Devices()
	if err != nil {
		return // the probe has told of it
	}
	for _, line := range leftGuards(c, standing, func(device string) bool { _, err := net.InterfaceByName(device); return err == nil }) {
		log.Warn(line, "event", "guard-left")
	}
}

// leftGuards is what is to be said of the devices whose guards stand; exists reports whether there
// is such a device, which has a daemon then.
func leftGuards(c *config.Daemon, standing []string, exists func(device string) bool) (lines []string) {
	for _, d := range standing {
		switch {
		case d == c.TUN && c.Guard == config.GuardOff:
			lines = append(lines, fmt.Sprintf("[daemon] guard is \"off\", but the guard that an earlier daemon left for %s is in force, with the policies and the mark of then: `culvert release --tun %s --force` takes it away", d, d))
		case d != c.TUN && !exists(d):
			lines = append(lines, fmt.Sprintf("the guard of %s stands without its daemon, and drops what that one protected although %s carries it: unless its daemon is to come back, `culvert release --tun %s` takes it away", d, c.TUN, d))
		}
	}
	return lines
}

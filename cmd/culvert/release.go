package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/daemon"
)

// release removes the guards and routes that block protected traffic after a daemon has ended, and
// the filters of tc of one that was killed, and prints which traffic may now pass.
func release(c *call) error {
	path := c.config()
	device := c.flags.String("tun", "", "the device `NAME`; without --tun and --config, every device with a guard and no daemon")
	force := c.flags.Bool("force", false, "release also while a daemon uses the device; the daemon then installs its guard again")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if *path != "" && *device != "" {
		return &usageError{"--config and --tun exclude each other; use one of them"}
	}
	if *path != "" {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		if control.Alive(cfg.Daemon.Control) && !*force {
			return fmt.Errorf("a culvert daemon is running at %s; stop it first", cfg.Daemon.Control)
		}
		*device = cfg.Daemon.TUN
	}
	opened, err := daemon.Release(*device, *force)
	for _, line := range releasedLines(opened) {
		fmt.Fprintln(c.stdout, clean(line))
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; run the command as root", err)
	}
	return err
}

// releasedLines returns a line for each guard or set of routes that was removed.
func releasedLines(opened []daemon.Released) []string {
	if len(opened) == 0 {
		return []string{"nothing to release: there is no guard without a device, and no route of an ended daemon"}
	}
	var out []string
	for _, o := range opened {
		switch {
		case len(o.Remote) == 0:
			out = append(out, o.What+" is released; it blocked nothing")
		case len(o.Local) == 0:
			out = append(out, fmt.Sprintf("%s is released: traffic to %s may now leave unprotected", o.What, some(o.Remote)))
		default:
			out = append(out, fmt.Sprintf("%s is released: traffic between %s and %s may now pass unprotected", o.What, some(o.Local), some(o.Remote)))
		}
	}
	return out
}

// some lists networks, and gives the number of those that a line has no room for.
func some(list []netip.Prefix) string {
	const most = 16
	var names []string
	for _, p := range list[:min(len(list), most)] {
		names = append(names, p.String())
	}
	if more := len(list) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more networks", more))
	}
	if n := len(names); n > 1 {
		names = slices.Concat(names[:n-2], []string{names[n-2] + " and " + names[n-1]})
	}
	return strings.Join(names, ", ")
}

// raiseGuard installs the guard of a configuration without a daemon.
func raiseGuard(c *call) error {
	path, err := c.configFile(c.config())
	if err != nil {
		return err
	}
	text, err := daemon.RaiseGuard(path)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, clean(text))
	return nil
}

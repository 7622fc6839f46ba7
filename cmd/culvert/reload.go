package main

import (
	"fmt"

	"culvert/internal/control"
)

// reload makes the daemon read its files again and prints the changes.
func reload(c *call) error {
	client := c.control()
	dry := c.flags.Bool("dry-run", false, "print what would change, and change nothing")
	force := c.flags.Bool("force", false, "also remove more than half of the peers")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	changes, err := client().Reload(ctx, control.ReloadHow{DryRun: *dry, Force: *force})
	if err != nil {
		return err
	}
	for _, w := range changes.Warnings {
		fmt.Fprintf(c.stderr, "warning: %s\n", clean(w))
	}
	for _, line := range changes.Changes {
		fmt.Fprintln(c.stdout, clean(line))
	}
	switch {
	case *dry:
		fmt.Fprintf(c.stdout, "peers: %s; nothing was changed\n", changes.Summary)
	case len(changes.Changes) == 0:
		fmt.Fprintln(c.stdout, "nothing changed")
	default:
		fmt.Fprintf(c.stdout, "peers: %s\n", changes.Summary)
	}
	return nil
}
